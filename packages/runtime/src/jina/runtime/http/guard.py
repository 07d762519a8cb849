"""The key that a protected server asks for over HTTP: the check, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jina.runtime.access import Access
from jina.runtime.http.rendering import render_error
from jina.runtime.service import count_refusal
from starlette.types import ASGIApp, Receive, Scope, Send

_CHALLENGE: Final = (b'www-authenticate', b'Bearer')
_SCHEMES: Final = {
    'bearer': {'type': 'http', 'scheme': 'bearer'},
    'apiKey': {'type': 'apiKey', 'in': 'header', 'name': 'X-API-Key'},
}


class Guard:
    """Lets requests with a key through to an application, and those that need none.

    Args:
        app: The application.
        access: Knows the keys.
        is_open: Tells whether a request needs no key.
        served: What is called; counts those who may not.
    """

    def __init__(self, app: ASGIApp, access: Access, is_open: Callable[[Scope], bool], served: Any = None) -> None:
        self._app = app
        self._served = served
        self._access = access
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        error = self._access.refusal(scope['headers'])
        if error is None or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        count_refusal(self._served, 'access')
        body = render_error(error)
        headers = [(b'content-type', b'application/json'), (b'content-length', b'%d' % len(body)), _CHALLENGE]
        await send({'type': 'http.response.start', 'status': error.http_status, 'headers': headers})
        await send({'type': 'http.response.body', 'body': body})


def with_security(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns an OpenAPI description that says how to send the key; Swagger UI then asks for it."""
    components = {**schema.get('components', {}), 'securitySchemes': _SCHEMES}
    return {**schema, 'components': components, 'security': [{name: []} for name in _SCHEMES]}
