"""The life of a custom gateway in its process: make it, set it up, run it, watch its health, shut it down."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Final

from jina.core.config import GatewayOptions, PodAddress, api_keys_of
from jina.core.config.protection import PUBLIC_OPTIONS, TlsServerOptions
from jina.core.errors import ConfigError, PortInUseError, StartupError
from jina.core.logging.logger import JinaLogger
from jina.runtime.gateway import GatewayService
from jina.runtime.gateways.base import BaseGateway, missing_methods
from jina.runtime.gateways.context import GatewayContext, MakeServer
from jina.runtime.gateways.health import probe_of
from jina.runtime.gateways.loading import GatewayDefinition, instantiate
from jina.runtime.ports import listen, reserve
from jina.runtime.streamer import GatewayStreamer

_LIMITS: Final = frozenset({'max_concurrency', 'max_queue'})
_PROTECTION: Final = (frozenset(PUBLIC_OPTIONS) - frozenset(TlsServerOptions.model_fields)) | _LIMITS
"""Options that servers of the framework apply. A server of another kind shows by its health checks whether it encrypts."""
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.25
_PATIENCE_S: Final = 10.0
_CANCEL_S: Final = 1.0


class GatewayHost:
    """Runs one custom gateway. Make and use it inside a running event loop.

    Args:
        definition: The gateway.
        options: Options of the process.
        service: What takes requests through the graph.
        make_server: Makes the servers of the framework.
        logger: Logger of the process.
    """

    def __init__(
        self,
        definition: GatewayDefinition,
        options: GatewayOptions,
        service: GatewayService,
        make_server: MakeServer,
        *,
        logger: JinaLogger,
    ) -> None:
        self._definition = definition
        self._options = options
        self._service = service
        self._logger = logger
        self._make_server = make_server
        self.on_end: Callable[[], object] = lambda: None
        """Called when the gateway ends by itself after its start."""
        self._name = definition.gateway_class.__name__
        self._context: GatewayContext | None = None
        self._gateway: BaseGateway | None = None
        self._held: list[socket.socket] = []
        self._running: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def is_over(self) -> bool:
        """Whether ``run_server`` has ended."""
        return self._running is not None and self._running.done()

    async def start(self) -> list[PodAddress]:
        """Makes the gateway and runs it until its first port is ready.

        Returns:
            Its addresses.

        Raises:
            ConfigError: The class lacks a method, or doesn't take the arguments of its configuration.
            PortInUseError: Another process listens on one of its ports.
            StartupError: It ended, or does not answer health checks as it should.
            Exception: What its ``__init__``, ``setup_server`` or ``run_server`` raises.
        """
        self._check_methods()
        self._check_protection()
        options = self._options.model_copy(update={'port': self._reserve_ports()})
        addresses = [
            PodAddress(protocol, options.host, port, tls=bool(options.ssl_certfile))
            for protocol, port in zip(options.protocol, options.port, strict=True)
        ]
        streamer = GatewayStreamer(options, self._service)
        streamer.publish()
        self._context = GatewayContext(options, self._logger, streamer, self._make_server)
        gateway = instantiate(self._definition, self._context)
        await self._guarded(gateway.setup_server(), 'setup_server')
        self._gateway = gateway  # from now on there is something to shut down
        self._running = asyncio.ensure_future(self._guarded(gateway.run_server(), 'run_server'))
        await self._wait_healthy(addresses[0])
        self._release_ports()
        self._running.add_done_callback(self._ended)
        return addresses

    def expect_end(self) -> None:
        """Takes it for no failure if the gateway ends from now on."""
        self._stopping = True

    def refresh(self) -> None:
        """Shows other endpoints where they are listed, in gateways that list them."""
        refresh = getattr(self._gateway, 'refresh', None)
        if refresh is not None:
            refresh()

    async def stop(self, grace: float | None = None) -> None:
        """Shuts the gateway down and waits for its end.

        Args:
            grace: Seconds that requests in flight may take; None or 0 for none.
        """
        self._stopping = True
        if self._context is not None:
            self._context.grace_s = grace or 0
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            await self._shut_down(gateway, grace or 0)
        if self._running is not None and not self._running.done():
            await asyncio.wait((self._running,), timeout=(grace or 0) + _CANCEL_S)
            self._running.cancel()
            await asyncio.wait((self._running,), timeout=_CANCEL_S)
        self._release_ports()
        if self._context is not None:
            self._context.streamer.withdraw()

    async def _shut_down(self, gateway: BaseGateway, grace: float) -> None:
        failed_before = self.is_over
        ending = asyncio.ensure_future(gateway.shutdown())
        await asyncio.wait((ending,), timeout=grace + _CANCEL_S)
        if not ending.done():
            ending.cancel()
            self._logger.warning('%s.shutdown takes longer than %.0f s: not waiting for it', self._name, grace)
        elif not ending.cancelled() and (error := ending.exception()) is not None:
            # After a failed start it may well miss what was never made.
            level = self._logger.debug if failed_before else self._logger.error
            level('%s.shutdown failed: %r', self._name, error, exc_info=error)

    def _check_methods(self) -> None:
        problems = missing_methods(self._definition.gateway_class)
        if problems:
            name, problem = problems[0]
            loaded = self._definition.loaded
            where = f'{loaded.where("jtype")}: ' if loaded is not None and 'jtype' in loaded.data else ''
            raise ConfigError(
                f'{where}{self._name}.{name} {problem}',
                hint='a gateway implements `async def` setup_server, run_server and shutdown',
            )

    def _check_protection(self) -> None:
        """Refuses keys and limits that nobody would apply."""
        gateway_class, options = self._definition.gateway_class, self._options
        given = {name for name in _PROTECTION if name in options.model_fields_set and getattr(options, name)}
        if gateway_class.setup_server.__module__.startswith('jina.'):  # a server of the framework
            given &= set() if gateway_class.limits_requests else _LIMITS
        elif api_keys_of(options):
            given.add('api_key')
        if given:
            names = ' and '.join(sorted(given))
            raise ConfigError(
                f'{self._name} has a server of its own, which does not apply {names}',
                hint='let its server do that, or extend HTTPGateway; FastAPIBaseGateway asks for keys too',
            )

    def _reserve_ports(self) -> list[int]:
        options = self._options
        wanted = list(options.port) or [0] * len(options.protocol)
        if options.joins_port:
            return wanted  # those of the process that listens there already
        ports = []
        for port in wanted:
            holder = reserve(options.host, port, options.runtime_name)
            self._held.append(holder)
            ports.append(holder.getsockname()[1])
        return ports

    def _release_ports(self) -> None:
        for holder in self._held:
            holder.close()
        self._held.clear()

    async def _guarded(self, work: object, what: str) -> None:
        """Awaits a method of the gateway; what would end the process is an error instead."""
        try:
            await work  # type: ignore[misc]
        except SystemExit as stop:  # uvicorn's way to say that it can't bind its port
            taken = self._taken_port()
            if taken is not None:
                raise self._port_error(taken) from stop
            raise StartupError(
                f'{self._name}.{what} ended with SystemExit({stop.code})', hint='see the log of its server above'
            ) from stop
        except OSError as error:
            taken = self._taken_port() if error.errno == errno.EADDRINUSE else None
            if taken is None:
                raise
            raise self._port_error(taken) from error

    def _port_error(self, port: int) -> StartupError:
        if self._options.joins_port:
            return StartupError(
                f'{self._name} does not share port {port} with the gateway that listens there already',
                hint='let its server use the socket that self.listen() gives, or start it without replicas, and close it to restart it',
            )
        return PortInUseError(port, f'{self._options.runtime_name}: {self._name}')

    def _taken_port(self) -> int | None:
        """Returns a port of the gateway on which somebody listens."""
        ports = self._context.options.port if self._context else []
        for port in ports:
            try:
                listen(self._options.host, port, self._name).close()
            except PortInUseError:
                return port
        return None

    async def _wait_healthy(self, address: PodAddress) -> None:
        assert self._running is not None
        probe = probe_of(address, self._name)
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + _PATIENCE_S
        pause = _FIRST_PAUSE_S
        while True:
            check = asyncio.ensure_future(probe.check())
            await asyncio.wait((self._running, check), return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                check.cancel()
                with contextlib.suppress(asyncio.CancelledError, StartupError):
                    await check
                self._raise_early_end(self._running)
            reason = check.result()
            if not reason and self._options.takes_over and not self._listens_itself(address.port):
                reason = 'another process answers there, and it does not listen itself'
            if not reason:
                return
            if loop.time() > patient_until:
                patient_until = float('inf')
                self._logger.warning('still waiting for %s at %s: %s', self._name, address, reason)
            await asyncio.wait((self._running,), timeout=pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _listens_itself(self, port: int) -> bool:
        """Whether it isn't just the process beside it that answers."""
        from jina.runtime.handover import listens  # noqa: PLC0415 - few gateways join others

        return listens(port)

    def _raise_early_end(self, running: asyncio.Task[None]) -> None:
        running.result()  # raises what run_server raised
        raise StartupError(
            f'{self._name}.run_server returned before the gateway was ready',
            hint='it has to await its server until shutdown stops it',
        )

    def _ended(self, running: asyncio.Task[None]) -> None:
        if self._stopping or running.cancelled():
            return
        error = running.exception()
        if error is None:
            self._logger.error('%s.run_server returned although nobody stopped it', self._name)
        else:
            self._logger.error('%s.run_server failed: %r', self._name, error, exc_info=error)
        self.on_end()
