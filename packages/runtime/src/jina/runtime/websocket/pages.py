"""What the port answers to plain HTTP requests: health, status and a dry run."""

from __future__ import annotations

import http
import json
from typing import Any, Final
from urllib.parse import urlsplit

from jina.core.environment import environment_facts, system_facts
from jina.runtime.dry_run import dry_run_status
from jina.runtime.service import RequestService
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

DRY_RUN_PATH: Final = '/dry_run'
_CONVERSATIONS: Final = ('/', DRY_RUN_PATH)


class Pages:
    """Looks at each request before a WebSocket is opened.

    Args:
        service: What is asked by a dry run.
        cors: Pages of any origin may read the answers.
        debug: Show versions and environment.
    """

    def __init__(self, service: RequestService, *, cors: bool, debug: bool) -> None:
        self._service = service
        self._debug = debug
        self._cors = cors

    async def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """Returns the answer to a plain request; None if it opens a WebSocket."""
        path = path_of(request)
        if 'websocket' in request.headers.get('Upgrade', '').lower():
            if path in _CONVERSATIONS:
                return None
            return self._response(404, {'detail': f'no WebSocket at {path!r}; connect to /'})
        if path == '/':
            return self._response(200, {})
        if path == '/status' and self._debug:
            return self._response(200, {'jina': system_facts(), 'envs': environment_facts()})
        if path == DRY_RUN_PATH:
            return self._response(200, (await dry_run_status(self._service)).to_dict())
        detail = "this port speaks WebSocket, not HTTP; use Client(protocol='websocket')"
        return self._response(426, {'detail': detail}, ('Upgrade', 'websocket'))

    def _response(self, status: int, value: Any, *headers: tuple[str, str]) -> Response:
        body = json.dumps(value).encode()
        found = Headers([('Connection', 'close'), *headers])
        found['Content-Type'] = 'application/json'
        found['Content-Length'] = str(len(body))
        if self._cors:
            found['Access-Control-Allow-Origin'] = '*'
        return Response(status, http.HTTPStatus(status).phrase, found, body)


def path_of(request: Request) -> str:
    """Returns the path of a request, without its query."""
    return urlsplit(request.path).path or '/'
