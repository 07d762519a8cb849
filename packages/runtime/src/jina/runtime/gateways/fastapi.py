"""The base class of gateways that are FastAPI applications."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Final

from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError
from jina.runtime.gateways.base import Gateway

if TYPE_CHECKING:
    from jina.runtime.http.server import HttpServer

__all__ = ['FastAPIBaseGateway']

_HOW: Final = 'return a FastAPI application, or another one that takes (scope, receive, send)'


class FastAPIBaseGateway(Gateway):
    """A gateway that is a FastAPI application. A subclass implements the property ``app``, nothing else.

    The server, its port, TLS, ``uvicorn_kwargs``, ``cors`` and the health check at ``GET /`` are taken care of. ``title`` and
    ``description``, if given, replace those of the application. Errors of Executors and of the network that an endpoint doesn't
    catch are answered as the built-in gateway does: 499, 503 or 504 with the message.
    """

    default_protocol: ClassVar[ProtocolType | None] = ProtocolType.HTTP
    serves: ClassVar[tuple[ProtocolType, ...]] = (ProtocolType.HTTP, ProtocolType.WEBSOCKET)

    server: HttpServer

    @property
    def app(self) -> Any:
        """The application. Implement it in a subclass; it is asked for once, when the server is set up."""
        raise ConfigError(f'{type(self).__name__}.app is missing', hint=f'define the property app: {_HOW}')

    async def setup_server(self) -> None:
        """Makes the server of ``app``.

        Raises:
            ConfigError: ``app`` is no application, or there are several ports.
            MissingExtraError: FastAPI or uvicorn isn't installed.
        """
        if len(self.ports) > 1 and type(self).setup_server is FastAPIBaseGateway.setup_server:
            raise ConfigError(
                f'{type(self).__name__} serves one port, and its protocols are {", ".join(map(str, self.protocols))}',
                hint='give one protocol, or extend setup_server, run_server and shutdown by the other servers',
            )
        self.server = self._context.server(ProtocolType.HTTP, self.port, self._checked(self.app))

    async def run_server(self) -> None:
        """Serves until ``shutdown``."""
        await self.server.start()
        await self.server.wait_ended()

    async def shutdown(self) -> None:
        """Refuses new connections, answers the requests in flight, and stops the server."""
        await self.server.stop(self._context.grace_s)

    def _checked(self, app: Any) -> Any:
        name = f'{type(self).__name__}.app'
        if app is None:
            raise ConfigError(f'{name} is None', hint='end the property with `return app`')
        if inspect.ismethod(app) and app.__self__ is self:
            raise ConfigError(f'{name} is a method', hint='put @property above it')
        if not callable(app):
            raise ConfigError(f'{name} is a {type(app).__name__}, which is no ASGI application', hint=_HOW)
        try:
            inspect.signature(app).bind({}, None, None)
        except TypeError:
            raise ConfigError(
                f'{name} is a {type(app).__name__}, which does not take (scope, receive, send)',
                hint=f'{_HOW}; wrap a WSGI application first',
            ) from None
        except ValueError:  # no signature to be had
            return app
        return app
