"""What the port answers to plain HTTP requests: health, status and a dry run."""

from __future__ import annotations

import http
import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from jina.core.environment import environment_facts, system_facts
from jina.core.errors import AccessError
from jina.runtime import grpc_traffic
from jina.runtime.access import Access
from jina.runtime.dry_run import dry_run_status
from jina.runtime.service import RequestService, count_refusal
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

DRY_RUN_PATH: Final = '/dry_run'
_CONVERSATIONS: Final = ('/', DRY_RUN_PATH)


class Pages:
    """Looks at each request before a WebSocket is opened.

    Args:
        service: What is asked by a dry run.
        origins: Origins whose pages may read the answers and open WebSockets; ``*`` for all, None for the latter only.
        access: Who may call; None for everybody.
        debug: Show versions and environment.
    """

    def __init__(
        self,
        service: RequestService,
        *,
        origins: Sequence[str] | None = None,
        access: Access | None = None,
        debug: bool = True,
    ) -> None:
        self._service = service
        self._debug = debug
        self._origins = None if origins is None else frozenset(origins)
        self._access = access

    async def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """Returns the answer to a plain request; None if it opens a WebSocket."""
        path = path_of(request)
        opens = 'websocket' in request.headers.get('Upgrade', '').lower()
        refusal = self._refusal(request) if opens or path != '/' else None
        if refusal is not None:
            count_refusal(self._service, 'access')
            return self._response(401, {'detail': str(refusal)}, ('WWW-Authenticate', 'Bearer'))
        if opens:
            if path in _CONVERSATIONS:
                return self._check_origin(request)
            return self._response(404, {'detail': f'no WebSocket at {path!r}; connect to /'})
        if path == '/':
            return self._page(request, {})
        if path == '/status' and self._debug:
            grpc_traffic.publish()
            return self._page(request, {'jina': system_facts(), 'envs': environment_facts()})
        if path == DRY_RUN_PATH:
            return self._page(request, (await dry_run_status(self._service)).to_dict())
        detail = "this port speaks WebSocket, not HTTP; use Client(protocol='websocket')"
        return self._response(426, {'detail': detail}, ('Upgrade', 'websocket'))

    def _page(self, request: Request, value: Any) -> Response:
        """Returns a page, which a page of an allowed origin may read."""
        origins, origin = self._origins, request.headers.get('Origin')
        if origins is None or '*' in origins:
            allowed = '*' if origins else None
        else:
            allowed = origin if origin in origins else None
        return self._response(200, value, *([('Access-Control-Allow-Origin', allowed)] if allowed else []))

    def _refusal(self, request: Request) -> AccessError | None:
        access = self._access
        if access is None:
            return None
        refusal = access.refusal((name.lower(), value) for name, value in request.headers.raw_items())
        if refusal is not None and access.allows_protocols(offered_protocols(request)):
            return None
        return refusal

    def _check_origin(self, request: Request) -> Response | None:
        """Refuses pages of other origins. What is no page says nothing about an origin."""
        origin = request.headers.get('Origin')
        if self._origins is None or origin is None or not self._origins.isdisjoint((origin, '*')):
            return None
        return self._response(403, {'detail': f'pages of {origin} may not open WebSockets here; see allow_origins'})

    def _response(self, status: int, value: Any, *headers: tuple[str, str]) -> Response:
        body = json.dumps(value).encode()
        found = Headers([('Connection', 'close'), *headers])
        found['Content-Type'] = 'application/json'
        found['Content-Length'] = str(len(body))
        return Response(status, http.HTTPStatus(status).phrase, found, body)


def offered_protocols(request: Request) -> list[str]:
    """Returns the subprotocols that a client offers."""
    values = request.headers.get_all('Sec-WebSocket-Protocol')
    return [name.strip() for value in values for name in value.split(',')]


def path_of(request: Request) -> str:
    """Returns the path of a request, without its query."""
    return urlsplit(request.path).path or '/'
