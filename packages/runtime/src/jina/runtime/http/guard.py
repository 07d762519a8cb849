"""The key that a protected server asks for over HTTP: the check, and how OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def route_path(scope: Scope) -> str:
    """Returns the path of a request as routes have it: without the ``root_path`` of the server."""
    path: str = scope['path']
    root = scope.get('root_path', '').rstrip('/')
    return path[len(root) :] if root and path.startswith(f'{root}/') else path


def with_security(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an OpenAPI description that says how to send the key; Swagger UI then asks for it.

    What the description declares itself stays: its schemes keep their names, and where it asks for one of them the key is asked
    for beside it.
    """
    components = schema.get('components') or {}
    declared = components.get('securitySchemes') or {}
    ours = _named(declared)
    described = {
        **schema,
        'components': {**components, 'securitySchemes': {**ours, **declared}},
        'security': _beside(schema.get('security'), list(ours)),
    }
    if schema.get('paths'):
        described['paths'] = {path: _asking(item, list(ours)) for path, item in schema['paths'].items()}
    return described


def _named(declared: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Returns our schemes by the names of the same ones that are declared, or by names that nothing else has."""
    found = {}
    for wanted, scheme in _SCHEMES.items():
        name = next((other for other, given in declared.items() if _is_same(given, scheme)), wanted)
        while name in declared and not _is_same(declared[name], scheme):
            name = f'server{name[0].upper()}{name[1:]}'
        found[name] = scheme
    return found


def _is_same(given: Any, scheme: Mapping[str, str]) -> bool:
    return isinstance(given, dict) and all(
        str(given.get(field)).lower() == value.lower() for field, value in scheme.items()
    )


def _asking(item: Any, ours: Sequence[str]) -> Any:
    """Returns a path whose operations that ask for something ask for the key too."""
    if not isinstance(item, dict):
        return item
    return {
        method: {**operation, 'security': _beside(operation['security'], ours)}
        if isinstance(operation, dict) and 'security' in operation
        else operation
        for method, operation in item.items()
    }


def _beside(required: Sequence[Mapping[str, Any]] | None, ours: Sequence[str]) -> list[dict[str, Any]]:
    """Returns requirements, of which one has to be met, with the key in each."""
    found: list[dict[str, Any]] = []
    for alternative in required or ({},):
        for name in ours:
            both = {name: [], **alternative}
            if both not in found:
                found.append(both)
    return found
