"""HTTP: one POST per request, server-sent events for streaming endpoints."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from jina.client.results import error_of, misfit
from jina.client.transports.base import CallOptions, RequestSource, Transport, exchange_one_by_one
from jina.client.trust import SYSTEM_TRUST, TlsTrust, trust_hint
from jina.core.config import PodAddress
from jina.core.config.build import nearest
from jina.core.errors import (
    AccessError,
    ClientError,
    ConnectError,
    DeadlineError,
    InputError,
    MissingExtraError,
    NotSupportedError,
    OverloadError,
    ServerError,
    TransportError,
)
from jina.core.request import DataRequest, Response, SingleDocumentRequest
from jina.core.wire import DEFAULT_ENDPOINT, StatusProto

try:
    import aiohttp
except ImportError as _error:  # pragma: no cover - depends on the environment
    raise MissingExtraError('the HTTP client', install='jina-client[http]') from _error

__all__ = ['HttpTransport']

_GENERIC_PATH: Final = '/post'
_GENERIC_OPERATION: Final = 'call_any_endpoint'
_GRAPHQL_PATH: Final = '/graphql'
_OWN_PATHS: Final = frozenset({_GENERIC_PATH, '/status', '/dry_run', _GRAPHQL_PATH, '/'})
"""Paths of the server itself, which are no endpoints."""
_SHOWN: Final = 8
_CONNECT_LIMIT_S: Final = 20.0
_DOUBT_S: Final = 5.0
_EXECUTOR_FAILED: Final = 499
_INTERNAL_ERROR: Final = 500
_EVENT_STREAM: Final = 'text/event-stream'
_JSON: Final = {'Content-Type': 'application/json'}


class HttpTransport(Transport):
    """A pool of HTTP connections to one server.

    Args:
        address: The server.
        headers: Headers of every request.
        trust: Which certificate it trusts.
        proxy: Go through the proxy that the environment names.
    """

    def __init__(
        self,
        address: PodAddress,
        headers: tuple[tuple[str, str], ...] = (),
        trust: TlsTrust = SYSTEM_TRUST,
        *,
        proxy: bool = False,
    ) -> None:
        self._address = address
        self._base = f'http{"s" if address.tls else ""}://{address.target}'
        self._tls: dict[str, Any] = (
            {'ssl': trust.context(), 'server_hostname': trust.server_name} if address.tls else {}
        )
        self._session = aiohttp.ClientSession(headers=headers, trust_env=proxy)
        self._paths: frozenset[str] | None = None
        self._streaming_paths: frozenset[str] = frozenset()
        self._has_generic_path = False
        self._paths_read_at = 0.0

    async def close(self) -> None:
        await self._session.close()

    def exchange(self, source: RequestSource, options: CallOptions) -> AsyncGenerator[list[Response], None]:
        async def send(request: DataRequest) -> Response:
            return await self._send(request, options)

        return exchange_one_by_one(send, source, options)

    async def _send(self, request: DataRequest, options: CallOptions) -> Response:
        body = _body_of(request)
        attempt = 1
        while True:
            try:
                return await self._post(request, body, options)
            except TransportError:
                if attempt >= options.retry.max_attempts:
                    raise
            await options.retry.pause(attempt)
            attempt += 1

    async def _post(self, request: DataRequest, body: bytes, options: CallOptions) -> Response:
        path = await self._path_of(request.exec_endpoint, options)
        status, text = await self._fetch('POST', path, options, body)
        if status in (404, 405) and await self._paths_changed(options):
            path = await self._path_of(request.exec_endpoint, options)
            status, text = await self._fetch('POST', path, options, body)
        if 200 <= status < 300:
            return self._response(request, text, options)
        if _is_executor_failure(status, text):
            return _failed_response(request, text)
        if status in (404, 405) and self._paths and '/' + request.exec_endpoint.lstrip('/') not in self._paths:
            raise self._missing(request.exec_endpoint, self._paths)
        raise self._refusal(status, text, f'POST {path}')

    async def _fetch(
        self, method: str, path: str, options: CallOptions, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Returns status and body of an answer."""
        headers = {**(_JSON if body is not None else {}), **dict(options.metadata)}
        timeout = aiohttp.ClientTimeout(total=options.timeout_s, sock_connect=_CONNECT_LIMIT_S)
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, timeout=timeout, **self._tls
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._translate(error) from error

    # Which path serves an endpoint

    async def _path_of(self, endpoint: str, options: CallOptions) -> str:
        """Returns the path of an endpoint: its own, or the generic one, or that of the default endpoint."""
        own = '/' + endpoint.lstrip('/')
        paths = await self._known_paths(options)
        if own not in paths and time.monotonic() - self._paths_read_at > _DOUBT_S:
            self._paths = None  # the server may have been started anew, with other endpoints
            paths = await self._known_paths(options)
        if own in paths:
            return own
        if own in self._streaming_paths:
            raise NotSupportedError(
                f'endpoint {endpoint!r} streams documents', hint='call it with stream_doc, one document at a time'
            )
        if self._has_generic_path:
            return _GENERIC_PATH
        return DEFAULT_ENDPOINT if DEFAULT_ENDPOINT in paths else _GENERIC_PATH

    async def _known_paths(self, options: CallOptions) -> frozenset[str]:
        if self._paths is None:
            status, text = await self._fetch('GET', '/openapi.json', options)
            if status not in (200, 404, 405):
                raise self._refusal(status, text, 'GET /openapi.json')
            listed: Any = _parse_json(text)
            entries = listed.get('paths') if isinstance(listed, dict) else None
            known = {path: methods for path, methods in (entries or {}).items() if isinstance(methods, dict)}
            self._has_generic_path = _GENERIC_OPERATION in str(known.get(_GENERIC_PATH, {}).get('post'))
            self._streaming_paths = frozenset(path for path, methods in known.items() if _streams(methods))
            self._paths = frozenset(
                path for path, methods in known.items() if 'post' in methods and path not in self._streaming_paths
            )
            self._paths_read_at = time.monotonic()
        return self._paths

    async def _paths_changed(self, options: CallOptions) -> bool:
        before, self._paths = self._paths, None
        return await self._known_paths(options) != before

    def _missing(self, endpoint: str, known: frozenset[str]) -> ClientError:
        """Returns the error for an endpoint that the server doesn't have."""
        names = sorted(known - _OWN_PATHS)
        near = nearest('/' + endpoint.lstrip('/'), names)
        hint = f'there are {", ".join(names[:_SHOWN])}{", ..." if len(names) > _SHOWN else ""}' if names else ''
        return ClientError(
            f'the server at {self._address} has no endpoint {endpoint!r}',
            hint=f'did you mean {near!r}?' if near else hint,
        )

    # Answers

    def _response(self, request: DataRequest, text: bytes, options: CallOptions) -> Response:
        answer = _parse_json(text)
        if not isinstance(answer, dict) or not isinstance(answer.get('data', []), list | dict | None):
            raise ServerError(
                f'the server at {self._address} answered with something else than documents: {text[:200]!r}',
                hint='is this the port of another service?',
            )
        response = _answer_to(request)
        data = answer.get('data') or []
        response.docs = _docs_of(data if isinstance(data, list) else [data], request, options)
        response.parameters = answer.get('parameters') or {}
        return response

    def _refusal(self, status: int, text: bytes, what: str) -> Exception:
        """Returns the error for an answer that is neither a success nor the failure of an Executor."""
        detail = _detail_of(text)
        message = f'the server at {self._address} answered {status} to {what}: {detail}'
        if status in (404, 405):
            return ClientError(message, hint='check the endpoint, and whether this is the right port')
        if status == 426:
            return ConnectError(message)
        if status == 422:
            return InputError(message, hint='documents or parameters do not fit the schema of the endpoint')
        if status == 401:
            return AccessError(message)
        if status == 413:
            return ClientError(message, hint='send fewer documents in a request (a smaller request_size)')
        if status == 503:
            return OverloadError(message) if OverloadError.MARK in detail else TransportError(message)
        if status == 504:
            return DeadlineError(message)
        return ServerError(message)

    def _translate(self, error: Exception) -> TransportError:
        """Returns our error for one of aiohttp's."""
        port = self._address.port
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return ConnectError(
                f'TLS with {self._address} failed: {error}',
                hint=trust_hint(error, self._address.host),
            )
        if isinstance(error, aiohttp.ServerTimeoutError | asyncio.TimeoutError):
            return DeadlineError(f'no answer from {self._address} in time', hint='raise the timeout of post')
        if isinstance(error, aiohttp.ClientConnectorError):
            return ConnectError(
                f'no HTTP server answers at {self._address}: {error}',
                hint=f'start the server, or correct host and port ({port})',
            )
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
            reason = str(error.message).partition('\n')[0] or type(error).__name__
            return ConnectError(
                f'the server at {self._address} did not answer in HTTP: {reason}', hint='was it stopped?'
            )
        return TransportError(f'the connection to {self._address} failed: {error!r}')

    # Streaming and readiness

    async def stream_doc(
        self, request: SingleDocumentRequest, options: CallOptions
    ) -> AsyncGenerator[SingleDocumentRequest, None]:
        path = '/' + request.exec_endpoint.lstrip('/')
        headers = {**_JSON, 'Accept': _EVENT_STREAM, **dict(options.metadata)}
        timeout = aiohttp.ClientTimeout(total=options.timeout_s, sock_connect=_CONNECT_LIMIT_S)
        method, body = _stream_body_of(request)
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, timeout=timeout, **self._tls
            ) as answer:
                if not answer.ok:
                    raise await self._stream_refusal(request, answer.status, await answer.read(), method)
                events = _EventParser()
                async for chunk in answer.content.iter_any():
                    for kind, data in events.feed(chunk):
                        if kind == 'end':
                            return
                        yield _streamed(request, kind, data, options)
        except TransportError:  # is an OSError too
            raise
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._translate(error) from error
        raise TransportError(f'the server at {self._address} broke off the stream of {request.exec_endpoint!r}')

    async def _stream_refusal(self, request: SingleDocumentRequest, status: int, text: bytes, method: str) -> Exception:
        """Returns the error for a stream that didn't start."""
        if _is_executor_failure(status, text):
            return _stream_failure(request, text)
        path = '/' + request.exec_endpoint.lstrip('/')
        if status in (404, 405):
            paths = await self._known_paths(CallOptions())
            if path in paths:
                return NotSupportedError(
                    f'endpoint {request.exec_endpoint!r} does not stream', hint='call it with post'
                )
            if path not in self._streaming_paths and (paths or self._streaming_paths):
                return self._missing(request.exec_endpoint, self._streaming_paths or paths)
        if status == 405 and method == 'POST':
            return NotSupportedError(
                f'the server at {self._address} takes no parameters and no target_executor for a stream over HTTP',
                hint='use the gRPC protocol, or put them into the document',
            )
        return self._refusal(status, text, f'{method} {path}')

    async def mutate(self, query: str, variables: Mapping[str, Any] | None, options: CallOptions) -> dict[str, Any]:
        try:
            body = json.dumps({'query': query, 'variables': variables}, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise InputError(f'the variables can not be sent as JSON: {error}', hint='give what JSON knows') from error
        status, text = await self._fetch('POST', _GRAPHQL_PATH, options, body)
        if status in (404, 405):
            raise ClientError(
                f'the server at {self._address} has no GraphQL: it answered {status}',
                hint='start it with expose_graphql_endpoint=True',
            )
        answer = _parse_json(text)
        if status in (200, 400) and isinstance(answer, dict) and answer.keys() & {'data', 'errors'}:
            return answer
        raise self._refusal(status, text, f'POST {_GRAPHQL_PATH}')

    async def check_health(self, timeout_s: float | None) -> None:
        await self._probe('/', timeout_s)

    async def dry_run(self, timeout_s: float | None) -> None:
        try:
            text = await self._probe('/dry_run', timeout_s)
        except AccessError:
            raise
        except ClientError:
            await self.check_health(timeout_s)  # an Executor has nothing behind it
            return
        status = _parse_json(text)
        if isinstance(status, dict) and status.get('code'):
            raise ServerError(f'the server at {self._address} is not ready: {status.get("description")}')

    async def _probe(self, path: str, timeout_s: float | None) -> bytes:
        status, text = await self._fetch('GET', path, CallOptions(timeout_s=timeout_s))
        if status != 200:
            raise self._refusal(status, text, f'GET {path}')
        return text


class _EventParser:
    """Cuts a byte stream into server-sent events; lines may be of any length."""

    def __init__(self) -> None:
        self._rest = b''
        self._kind = ''
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """Takes bytes and returns the events that they complete, each as kind and data."""
        *lines, self._rest = (self._rest + chunk).split(b'\n')
        events: list[tuple[str, str]] = []
        for raw in lines:
            line = raw.rstrip(b'\r').decode()
            if not line:
                if self._kind or self._data:
                    events.append((self._kind or 'message', '\n'.join(self._data)))
                self._kind, self._data = '', []
                continue
            name, _, value = line.partition(':')
            value = value.removeprefix(' ')
            if name == 'event':
                self._kind = value
            elif name == 'data':
                self._data.append(value)
        return events


def _streamed(request: SingleDocumentRequest, kind: str, data: str, options: CallOptions) -> SingleDocumentRequest:
    if kind == 'error':
        raise _stream_failure(request, data.encode())
    response = SingleDocumentRequest()
    response.request_id, response.exec_endpoint = request.request_id, request.exec_endpoint
    response.document = _docs_of([_parse_json(data.encode())], request, options)[0]
    return response


def _streams(methods: Mapping[str, Any]) -> bool:
    """Tells whether a path of the OpenAPI description is that of a streaming endpoint."""
    described = methods.get('get')
    answers = described.get('responses') if isinstance(described, Mapping) else None
    return _EVENT_STREAM in str((answers or {}).get('200'))


def _stream_failure(request: SingleDocumentRequest, text: bytes) -> ServerError:
    """Returns the error that gRPC would have carried for an Executor that failed."""
    failure = SingleDocumentRequest()
    failure.request_id = request.request_id
    _set_failure(failure.status, text)
    return error_of(failure)


def _set_failure(status: StatusProto, text: bytes) -> None:
    status.code = StatusProto.ERROR
    status.description = _detail_of(text)
    status.exception.name = status.description.partition('(')[0]


def _stream_body_of(request: SingleDocumentRequest) -> tuple[str, bytes]:
    """Returns method and body: the document alone if there is nothing else, as every server takes it."""
    document = _json_bytes([request.document])[1:-1]
    if not request.parameters and not request.target_executor:
        return 'GET', document
    header = {'request_id': request.request_id, 'target_executor': request.target_executor}
    rest = json.dumps({'header': header, 'parameters': request.parameters}).encode()
    return 'POST', b'{"data":' + document + b',' + rest[1:]


def _body_of(request: DataRequest) -> bytes:
    """Returns the JSON body of a request."""
    header = {'request_id': request.request_id, 'exec_endpoint': request.exec_endpoint}
    envelope: dict[str, Any] = {'exec_endpoint': request.exec_endpoint, 'parameters': request.parameters}
    if request.target_executor:
        header['target_executor'] = envelope['target_executor'] = request.target_executor
    envelope['header'] = header
    return b'{"data":' + _json_bytes(request.docs) + b',' + json.dumps(envelope).encode()[1:]


def _json_bytes(docs: Any) -> bytes:
    """Returns documents as a JSON list."""
    from docarray import DocList  # noqa: PLC0415 - heavy, and loaded already wherever documents are

    try:
        text = (docs if isinstance(docs, DocList) else DocList(docs)).to_json()
    except (TypeError, ValueError) as error:
        raise InputError(f'the documents can not be sent as JSON: {error}', hint='use the gRPC protocol') from error
    return text.encode() if isinstance(text, str) else bytes(text)


def _docs_of(items: list[Any], request: DataRequest | SingleDocumentRequest, options: CallOptions) -> Any:
    from docarray import DocList  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    kind: type[DocList[Any]] = options.doc_list_type or DocList
    try:
        return kind([kind.doc_type(**item) for item in items])
    except (ValidationError, TypeError, ValueError) as error:
        many = not isinstance(request, SingleDocumentRequest)
        given = items[0] if items and isinstance(items[0], Mapping) else ()
        raise misfit(request.exec_endpoint, kind.doc_type, error, given, many=many) from error


def _answer_to(request: DataRequest) -> Response:
    response = Response()
    response.request_id = request.request_id
    response.exec_endpoint = request.exec_endpoint
    response.target_executor = request.target_executor
    return response


def _is_executor_failure(status: int, text: bytes) -> bool:
    """Returns True for an answer that reports what an Executor raised: 499, or 500 with a ``detail``."""
    if status == _INTERNAL_ERROR:
        answer = _parse_json(text)
        return isinstance(answer, Mapping) and isinstance(answer.get('detail'), str)
    return status == _EXECUTOR_FAILED


def _failed_response(request: DataRequest, text: bytes) -> Response:
    """Returns what gRPC would have carried for a failed Executor: the documents as sent, and an ERROR status."""
    response = _answer_to(request)
    response.raw_content = request.raw_content
    _set_failure(response.status, text)
    return response


def _detail_of(text: bytes) -> str:
    """Returns the message in an error's body."""
    answer = _parse_json(text)
    if isinstance(answer, Mapping):
        header = answer.get('header')
        if isinstance(header, Mapping) and isinstance(header.get('status'), Mapping):
            return str(header['status'].get('description', ''))
        if 'detail' in answer:
            detail = answer['detail']
            return detail if isinstance(detail, str) else json.dumps(detail)
    return text[:500].decode(errors='replace')


def _parse_json(text: bytes) -> Any:
    """Returns the parsed JSON, or None if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None
