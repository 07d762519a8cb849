"""The route ``/graphql``: GraphQL over HTTP, and a page for browsers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import strawberry
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    OperationType,
    SelectionSetNode,
    Visitor,
    get_operation_ast,
    parse,
    visit,
)
from jina.core.logging.logger import JinaLogger
from jina.runtime.http.graphql.page import render_page
from jina.runtime.http.graphql.schema import build_schema
from jina.runtime.http.rendering import to_json
from jina.runtime.http.routes import ClientGone, PostHandler, read_body, send_json, while_connected
from jina.runtime.service import RequestService
from starlette.types import Receive, Scope, Send

__all__ = ['GraphQLEndpoint']

MAX_TOKENS: Final = 5_000
"""Tokens of a query; larger documents belong into variables."""
MAX_FIELDS: Final = 1_000
"""Fields that a query may select."""
MAX_REPEATED: Final = 50
"""Fields that may be selected once more in the same place, for which there is no reason."""
MAX_FRAGMENTS: Final = 20
"""Fragments that a query may have."""
_JSON: Final = 'application/json'


class _Refused(Exception):
    """A request that isn't executed.

    Args:
        status: Status of the response.
        message: What is wrong.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


@dataclass(frozen=True)
class _Operation:
    """A GraphQL request."""

    query: str
    variables: dict[str, Any] | None
    name: str | None


class GraphQLEndpoint:
    """Answers at ``/graphql`` over ASGI.

    Args:
        service: What answers.
        refresh: Looks for endpoints again.
        is_worker: The server is an Executor itself.
        logger: For failures of the server itself.
    """

    def __init__(
        self,
        service: RequestService,
        refresh: Callable[[], Awaitable[None]],
        *,
        is_worker: bool,
        logger: JinaLogger,
    ) -> None:
        self._service = service
        self._refresh = refresh
        self._is_worker = is_worker
        self._logger = logger
        self._schema: strawberry.Schema | None = None

    def install(self, handlers: Mapping[str, PostHandler]) -> None:
        """Takes other endpoints.

        Args:
            handlers: What answers each endpoint, by its name.
        """
        self._schema = (
            build_schema(self._service, handlers, is_worker=self._is_worker, logger=self._logger) if handlers else None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        headers = {name.decode('latin-1'): value.decode('latin-1') for name, value in scope['headers']}
        with contextlib.suppress(ClientGone):
            raw = await read_body(receive)
            if scope['method'] == 'GET' and not scope['query_string'] and 'text/html' in headers.get('accept', ''):
                await self._send_page(send)
                return
            try:
                operation = _read(scope, raw, headers.get('content-type', ''))
                _check(operation, by_get=scope['method'] == 'GET')
                answer = await while_connected(self._execute(operation), receive, at_once=True)
                status = 200
            except _Refused as error:
                status, answer = error.status, {'errors': [{'message': str(error)}]}
            except asyncio.CancelledError:  # the server stops and this took too long
                status, answer = 503, {'errors': [{'message': 'the server is stopping; send the request again'}]}
            await send_json(send, status, to_json(answer))

    async def _execute(self, operation: _Operation) -> dict[str, Any]:
        if self._schema is None:
            await self._refresh()
        if self._schema is None:
            raise _Refused(503, 'the endpoints are not known yet, or none can be called over GraphQL; try again')
        try:
            result = await self._schema.execute(operation.query, operation.variables, operation_name=operation.name)
        except RecursionError:
            raise _Refused(400, 'the query is nested too deeply') from None
        answer: dict[str, Any] = {'data': result.data}
        if result.errors:
            answer['errors'] = [error.formatted for error in result.errors]
        return answer

    async def _send_page(self, send: Send) -> None:
        body = render_page(self._schema.as_str() if self._schema is not None else '').encode()
        headers = [(b'content-type', b'text/html; charset=utf-8'), (b'content-length', b'%d' % len(body))]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        await send({'type': 'http.response.body', 'body': body})


def _read(scope: Scope, raw: bytes, content_type: str) -> _Operation:
    """Reads the operation from the query string of a GET or from the JSON of a POST."""
    if scope['method'] == 'GET':
        # surrogates stand for bytes that are no UTF-8, which no GraphQL can be
        given: Any = dict(parse_qsl(scope['query_string'].decode('latin-1'), keep_blank_values=True))
        if given.get('variables'):
            given['variables'] = _parse(given['variables'].encode(errors='replace'), 'variables')
    elif content_type.partition(';')[0].strip().lower() != _JSON:
        raise _Refused(415, f'the content type is {content_type!r}; send {_JSON}')
    else:
        given = _parse(raw, 'the body')
    if not isinstance(given, dict) or not isinstance(given.get('query'), str) or not given['query'].strip():
        raise _Refused(400, 'the request has no query; send {"query": "...", "variables": {...}}')
    variables, name = given.get('variables'), given.get('operationName')
    if variables is not None and not isinstance(variables, dict):
        raise _Refused(400, f'variables are of type {type(variables).__name__}; give an object')
    if name is not None and not isinstance(name, str):
        raise _Refused(400, f'operationName is of type {type(name).__name__}; give a string')
    return _Operation(given['query'], variables, name or None)


def _parse(raw: bytes, what: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _Refused(400, f'{what} can not be read as JSON: {error}') from None


def _check(operation: _Operation, *, by_get: bool) -> None:
    """Refuses what takes too long to check, and changes by a GET, which any page may send.

    Syntax errors are left to the execution, which reports them with their place.
    """
    try:
        document = parse(operation.query, no_location=True, max_tokens=MAX_TOKENS)
        excess = _Census.of(document).excess()
    except GraphQLError as error:
        raise _Refused(400, error.message) from None
    except RecursionError:
        raise _Refused(400, 'the query is nested too deeply') from None
    if excess:
        raise _Refused(400, f'the query {excess}; send several requests')
    chosen = get_operation_ast(document, operation.name)
    if chosen is None:
        raise _Refused(400, f'the query has no operation {operation.name!r}; name one of its operations')
    if by_get and chosen.operation is not OperationType.QUERY:
        raise _Refused(405, 'GET is for queries only; send mutations by POST')


class _Census(Visitor):
    """Counts what makes the validation of a query slow: it compares fields of the same name, and fragments, in pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = 0
        self.repeated = 0
        self.fragments = 0

    @classmethod
    def of(cls, document: DocumentNode) -> _Census:
        census = cls()
        visit(document, census)
        return census

    def enter_selection_set(self, node: SelectionSetNode, *_: Any) -> None:
        names = [(item.alias or item.name).value for item in node.selections if isinstance(item, FieldNode)]
        self.fields += len(node.selections)
        self.repeated += len(names) - len(set(names))

    def enter_fragment_definition(self, *_: Any) -> None:
        self.fragments += 1

    def enter_inline_fragment(self, *_: Any) -> None:
        self.fragments += 1

    def excess(self) -> str:
        """Returns what there is too much of; empty if nothing is."""
        found = (
            ('selects {} fields', self.fields, MAX_FIELDS),
            ('selects {} fields again', self.repeated, MAX_REPEATED),
            ('has {} fragments', self.fragments, MAX_FRAGMENTS),
        )
        return next((f'{what.format(number)}, more than {most}' for what, number, most in found if number > most), '')
