"""Which routes there are: endpoints of Executors, exposed ones, the traditional ones of a database, and ``/post``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote

from jina.core.config.groups import HttpServerOptions
from jina.core.schema import EndpointSchema
from jina.core.wire import DEFAULT_ENDPOINT
from jina.runtime.endpoint_types import missing_endpoint
from jina.runtime.http.any_endpoint import PATH, AnyEndpointHandler, AnyEndpointRoute
from jina.runtime.http.bodies import BodyError
from jina.runtime.http.endpoint_route import EndpointRoute, needs_fastapi, without_effect
from jina.runtime.http.routes import Handler, PostHandler
from starlette.routing import BaseRoute

CRUD_METHODS: Final = {
    '/index': ('POST',),
    '/search': ('POST',),
    '/update': ('POST', 'PUT'),
    '/delete': ('POST', 'DELETE'),
}
"""The traditional routes. A request to one is for the endpoint of that name."""


class MakeHandler(Protocol):
    """Makes the handler of an endpoint."""

    def __call__(self, name: str, schema: EndpointSchema, *, success: int = 200, by_get: bool = False) -> Handler:
        """Returns it.

        Args:
            name: The endpoint.
            schema: Its types.
            success: Status of successful answers.
            by_get: Requests come by GET, with a document in the query.
        """
        ...


class RouteTable:
    """The routes of all endpoints. What comes first wins.

    Args:
        schemas: Types of the endpoints by name.
        options: Those of the HTTP server.
        make: Makes handlers.
        any_endpoint: Handler of ``/post``.
        with_header: Responses carry a header.

    Attributes:
        routes: For FastAPI, which describes them.
        handlers: What may be called without FastAPI, by method and path.
        remarks: What is wrong with ``expose_endpoints``, for the log.
    """

    def __init__(
        self,
        schemas: Mapping[str, EndpointSchema],
        options: HttpServerOptions,
        make: MakeHandler,
        *,
        any_endpoint: AnyEndpointHandler,
        with_header: bool,
    ) -> None:
        self.routes: list[BaseRoute] = []
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.remarks: list[str] = []
        self._schemas = {_path_of(name): (name, schema) for name, schema in schemas.items()}
        self._make = make
        self._with_header = with_header
        self._taken: set[tuple[str, str]] = set()
        self._by_path: dict[str, Handler] = {}
        self._guarded: dict[str, str] = {}
        exposed: dict[str, dict[str, Any]] = options.expose_endpoints or {}
        self._add_exposed(exposed)
        crud = {} if options.no_crud_endpoints else CRUD_METHODS
        hidden = {*exposed, *(CRUD_METHODS if options.no_crud_endpoints else ())}
        for path, (name, schema) in self._schemas.items():
            self._by_path[path] = self._make(name, schema)
            if path not in hidden:
                self._add(path, name, schema, _methods(schema, crud.get(path)))
        default = self._schemas.get(DEFAULT_ENDPOINT)
        if default is not None and not default[1].is_generator and DEFAULT_ENDPOINT not in self._guarded:
            for path, methods in crud.items():
                if path not in self._schemas and path not in hidden:
                    self._add(path, path, default[1], methods)
        if not options.no_debug_endpoints and ('POST', PATH) not in self._taken:
            plain = [(name, schema) for name, schema in self._schemas.values() if not schema.is_generator]
            self.handlers['POST', PATH] = any_endpoint
            self.routes.append(AnyEndpointRoute(any_endpoint, *next(iter(plain), ('/', any_endpoint.schema))))

    @property
    def direct(self) -> Iterator[tuple[bytes, PostHandler]]:
        """Handlers that need no ASGI, with their paths as they stand in the request line."""
        for (method, path), handler in self.handlers.items():
            if method == 'POST' and isinstance(handler, PostHandler):
                yield quote(path).encode(), handler

    def find(self, name: str) -> Handler | None:
        """Returns the handler of an endpoint, or that of the default endpoint.

        Raises:
            BodyError: Its route has dependencies or changes its answers, and may not be passed by.
        """
        path = _path_of(name)
        if path not in self._by_path:
            path = DEFAULT_ENDPOINT
        if path in self._guarded:
            message = f'{name!r} has a route with settings of its own: call it at {self._guarded[path]}'
            raise BodyError([{'type': 'guarded', 'loc': ['body', 'execEndpoint'], 'msg': message, 'input': name}])
        return self._by_path.get(path)

    @property
    def unguarded(self) -> dict[str, PostHandler]:
        """Handlers of endpoints that answer once and may be called without their routes, by the endpoints' names."""
        found = {path: handler for path, handler in self._by_path.items() if path not in self._guarded}
        return {self._schemas[path][0]: handler for path, handler in found.items() if isinstance(handler, PostHandler)}

    @property
    def names(self) -> list[str]:
        """All endpoints."""
        return [name for name, _ in self._schemas.values()]

    def _add_exposed(self, exposed: Mapping[str, Mapping[str, Any]]) -> None:
        for name, options in exposed.items():
            found = self._schemas.get(name)
            if found is None and DEFAULT_ENDPOINT in self._schemas:
                found = name, self._schemas[DEFAULT_ENDPOINT][1]
            if found is None:
                self.remarks.append(str(missing_endpoint(name, self.names)))
                continue
            idle = without_effect(options, found[1])
            if idle:
                self.remarks.append(f'{name!r} streams, so {", ".join(idle)} can not change its answer')
            path = options.get('http_path') or name
            if needs_fastapi(options):
                self._guarded[name] = path
            self._add(path, *found, options.get('methods') or _methods(found[1]), options)

    def _add(
        self,
        path: str,
        name: str,
        schema: EndpointSchema,
        methods: Sequence[str],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        own = dict(options or {})
        for number, method in enumerate(methods):
            if (method, path) in self._taken:
                continue
            self._taken.add((method, path))
            handler = self._make(name, schema, success=own.get('status_code') or 200, by_get=method == 'GET')
            if number and own.get('operation_id'):
                own['operation_id'] = f'{own["operation_id"]}_{method.lower()}'
            self.routes.append(EndpointRoute(path, handler, method=method, with_header=self._with_header, options=own))
            if not needs_fastapi(own):
                self.handlers[method, path] = handler


def _path_of(name: str) -> str:
    return f'/{name.lstrip("/")}'


def _methods(schema: EndpointSchema, others: tuple[str, ...] | None = None) -> tuple[str, ...]:
    return ('GET', 'POST') if schema.is_generator else others or ('POST',)
