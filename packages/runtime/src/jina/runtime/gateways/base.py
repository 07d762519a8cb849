"""The class that users extend for a gateway of their own."""

from __future__ import annotations

import argparse
import inspect
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError
from jina.core.yaml import LoadedYaml, LoadOverrides, YamlObject
from jina.runtime.gateways import loading
from jina.runtime.gateways.context import GatewayContext
from jina.runtime.ports import listen

if TYPE_CHECKING:
    from jina.core.logging.logger import JinaLogger
    from jina.runtime.gateways.loading import GatewayDefinition
    from jina.runtime.streamer import Executors, GatewayStreamer
    from typing_extensions import Self

__all__ = ['BaseGateway', 'Gateway']


class BaseGateway(YamlObject):
    """A server of any kind in front of the Executors of a Flow, as long as it runs in an asyncio loop.

    A subclass implements ``setup_server``, ``run_server`` and ``shutdown``, and answers health checks on its first port: with
    the service ``grpc.health.v1.Health`` if its first protocol is gRPC, else with status 200 at ``GET /``. A subclass that has an
    ``__init__`` takes ``**kwargs`` there and calls ``super().__init__(**kwargs)``.

    Args:
        name: Name of the gateway; by default that of its process.
        runtime_args: Options of the gateway. The process that runs it gives them; only a gateway made by hand needs any.
        kwargs: Not used; a warning names them. If they come from a configuration (``with``, ``uses_with``) they are an error,
            unless the subclass reads them out of its own ``**kwargs``.

    Raises:
        ConfigError: The configuration has an argument that nobody takes.
    """

    default_protocol: ClassVar[ProtocolType | None] = None
    """Protocol of a gateway that is started without the option ``protocol``; None is gRPC."""
    serves: ClassVar[tuple[ProtocolType, ...]] = tuple(ProtocolType)
    """Protocols that it can speak."""
    limits_requests: ClassVar[bool] = False
    """Whether its server counts requests, for ``max_concurrency``."""

    name: str
    logger: JinaLogger
    streamer: GatewayStreamer
    executor: Executors
    runtime_args: argparse.Namespace
    host: str
    port: int
    ports: list[int]
    protocols: list[ProtocolType]
    _context: GatewayContext
    _definition: GatewayDefinition | None = None

    def __init__(
        self,
        name: str | None = None,
        runtime_args: Mapping[str, Any] | argparse.Namespace | None = None,
        **kwargs: Any,
    ) -> None:
        if '_context' not in vars(self):
            self.attach(GatewayContext.by_hand(runtime_args))
        if name is not None:
            self.name = name
        if kwargs:
            self._report_unused(kwargs)

    def attach(self, context: GatewayContext) -> None:
        """Puts the gateway into its surroundings, before ``__init__``. Called by the process that runs it.

        Args:
            context: The surroundings.
        """
        options = context.options
        self._context = context
        self.name = options.name or 'gateway'
        """Name of the gateway."""
        self.logger = context.logger
        """Logger of the process."""
        self.streamer = context.streamer
        """Sends documents through the graph of the Flow."""
        self.executor = context.streamer.executor
        """The Executors by the names of their Deployments, to call each alone."""
        self.runtime_args = context.runtime_args()
        """All options of the gateway."""
        self.host = options.host
        """Address to listen on."""
        self.ports = list(options.port) or [0] * len(options.protocol)
        """Ports to listen on, one for each protocol."""
        self.port = self.ports[0]
        """The first of them."""
        self.protocols = list(options.protocol)
        """Protocols to speak."""

    async def setup_server(self) -> None:
        """Makes the server and what it needs. Implement it in a subclass."""
        raise NotImplementedError(f'{type(self).__name__}.setup_server')

    async def run_server(self) -> None:
        """Runs the server and returns when it has ended. Implement it in a subclass."""
        raise NotImplementedError(f'{type(self).__name__}.run_server')

    async def shutdown(self) -> None:
        """Stops the server and frees what ``setup_server`` took. Implement it in a subclass."""
        raise NotImplementedError(f'{type(self).__name__}.shutdown')

    def listen(self, number: int = 0) -> socket.socket:
        """Returns a socket that listens on one of the ports, shared with other replicas of the gateway if there are any.

        A server that binds its port by itself needs it only for ``replicas``: ``await self.server.serve(sockets=[self.listen()])``.

        Args:
            number: Which of ``ports``.

        Raises:
            PortInUseError: Another process listens there.
        """
        options = self._context.options
        return listen(self.host, self.ports[number], options.runtime_name, shared=options.shares_port)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} name={getattr(self, "name", None)!r}>'

    def _report_unused(self, arguments: Mapping[str, Any]) -> None:
        definition = self._definition
        wrong = [name for name in arguments if definition is not None and name in definition.arguments]
        if wrong and definition is not None and not loading.reads_rest(type(self)):
            raise definition.unknown_argument(wrong[0])
        self.logger.warning(f'{type(self).__name__} does not use the arguments {", ".join(map(repr, arguments))}')

    @classmethod
    def from_config(cls, loaded: LoadedYaml, overrides: LoadOverrides) -> Self:
        """Makes a gateway from its YAML document; called by ``load_config``. No process runs it.

        Args:
            loaded: The document, whose ``jtype`` is this class.
            overrides: What the caller sets beside it.

        Raises:
            ConfigError: The document is wrong.
        """
        definition = loading.definition_of(loaded, overrides, cls)
        if not issubclass(definition.gateway_class, cls):
            raise ConfigError(
                f'{loaded.where("jtype")}: {definition.gateway_class.__name__!r} is not a kind of {cls.__name__}',
                hint='call Gateway.load_config',
            )
        runtime_args = {**definition.options, **(overrides.runtime_args or {})}
        return cast('Self', loading.instantiate(definition, GatewayContext.by_hand(runtime_args)))

    @classmethod
    def class_of(cls, loaded: LoadedYaml) -> type[Self]:
        """Returns this class: ``from_config`` finds the class of the document, after importing its ``py_modules``."""
        return cls

    def to_config(self) -> dict[str, Any]:
        """Returns the YAML document of this gateway: its class, the arguments that it was loaded with, and its options."""
        definition = self._definition
        document: dict[str, Any] = {'jtype': type(self).__name__}
        if definition is not None:
            document['py_modules'] = list(definition.py_modules)
            document['with'] = dict(definition.arguments)
            document.update(definition.options)
        return {key: value for key, value in document.items() if value}


class Gateway(BaseGateway):
    """The class to extend for a gateway of your own; see ``BaseGateway``."""


def missing_methods(gateway_class: type[BaseGateway]) -> list[tuple[str, str]]:
    """Returns the methods that a class lacks, each with what is wrong about it."""
    problems: list[tuple[str, str]] = []
    for name in ('setup_server', 'run_server', 'shutdown'):
        method = inspect.getattr_static(gateway_class, name)
        if method is vars(BaseGateway)[name]:
            problems.append((name, 'is missing'))
        elif not inspect.iscoroutinefunction(getattr(gateway_class, name)):
            problems.append((name, 'is no `async def` method'))
    return problems
