"""The life of a pod process: load, bind, report ready, serve until a signal, drain, close."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from jina.core.config import ExecutorOptions, GatewayOptions, PodAddress
from jina.core.enums import ProtocolType
from jina.core.environment import random_port_range
from jina.core.errors import MissingExtraError, NotSupportedError
from jina.core.logging.logger import JinaLogger
from jina.runtime import grpc_traffic
from jina.runtime.access import OPEN, Protection
from jina.runtime.admission import Admission, admission_of, limited
from jina.runtime.connections import OpenChannel
from jina.runtime.event_loop import run
from jina.runtime.gateway import GatewayService, compression_of
from jina.runtime.grpc_server import GrpcServer
from jina.runtime.heap import keep_freed_memory
from jina.runtime.ports import shared_port
from jina.runtime.worker import WorkerService

_OPEN_FILES: Final = 4096
_DEFAULT_PREFETCH: Final = 1000
_SHARED_PORT: Final = {'grpc.so_reuseport': 1}


if TYPE_CHECKING:
    from typing import TypeAlias

    from jina.runtime.connections import ConnectionSettings, Peer
    from jina.runtime.gateways.host import GatewayHost
    from jina.runtime.http.server import HttpServer
    from jina.runtime.observation import Observation
    from jina.runtime.reload import ReloadingService
    from jina.runtime.stateful import StatefulService
    from jina.runtime.websocket.server import WebSocketServer

    Server: TypeAlias = GrpcServer | HttpServer | WebSocketServer
    Service: TypeAlias = WorkerService | GatewayService | ReloadingService | StatefulService
    Commands: TypeAlias = Callable[[Callable[[Mapping[str, Any]], concurrent.futures.Future[None]]], object]


class PodServer:
    """A worker or a gateway with its servers, one per protocol. Use it inside a running event loop.

    Args:
        options: Options of an Executor, or of a gateway.
        open_channel: Of a gateway: gives the channel to an address; None, or for None, it is connected as usual.
        linger_s: Seconds that ``stop`` waits for the end of HTTP connections without a request.

    Attributes:
        service: What answers requests; set by ``start``.
        exit_code: 1 if an exception of ``exit_on_exceptions`` was raised, else 0.
        ended: Set when the process should end by itself.
    """

    service: Service

    def __init__(
        self,
        options: ExecutorOptions | GatewayOptions,
        *,
        open_channel: OpenChannel | None = None,
        linger_s: float = 0.0,
    ) -> None:
        self._options = options
        self._linger_s = linger_s
        self._open_channel = open_channel
        self._observation: Observation | None = None
        self._lag: asyncio.Task[None] | None = None
        self._servers: list[Server] = []
        self._made: list[Server] = []
        self._ports: list[int] = []
        self._custom: GatewayHost | None = None
        self._protection = OPEN
        self._admission: Admission | None = None
        self.logger = JinaLogger(
            options.runtime_name,
            log_config=options.log_config,
            quiet=options.quiet,
            quiet_error=options.quiet_error,
        )
        self.exit_code = 0
        self.ended = asyncio.Event()
        self.on_loaded: Callable[[], object] = lambda: None
        """Called when the service is made; from then on there is something to close."""

    @property
    def _balances(self) -> bool:
        """Whether it sends requests on to Executors, and runs none."""
        return isinstance(self._options, GatewayOptions) or self._options.is_head

    async def start(self) -> list[PodAddress]:
        """Loads the service, binds all ports, and serves.

        Returns:
            The real address for each protocol.

        Raises:
            JinaError: A configuration is wrong, a port is taken, or the graph doesn't fit together.
            Exception: What the Executor's ``__init__`` raises.
        """
        options = self._options
        if isinstance(options, GatewayOptions) and options.uses is not None:
            return await self._start_custom(options)
        options.refuse_unused()
        host = _host_of(options)
        protection = self._protection = Protection.of(options)
        service = self.service = self._make_service()
        self._admission = admission_of(options)
        try:
            self.on_loaded()
            ports: dict[Server, int] = {}
            for index, protocol in enumerate(options.protocol):
                server = self._make_server(protocol, host, self._port(index, host))
                self._servers.append(server)
                if isinstance(server, GrpcServer) and self._waits_for(service):
                    server.hold()
                    ports[server] = await server.start()  # tells those who ask for its health that it isn't ready
            await service.start()
            for server in self._servers:
                if server not in ports:
                    ports[server] = await server.start()
                elif isinstance(server, GrpcServer):
                    server.open()
        except BaseException:
            await self._give_up()
            raise
        self._ports = list(ports.values())
        addresses = [
            PodAddress(protocol, host, ports[server], protection.pair is not None)
            for protocol, server in zip(options.protocol, self._servers, strict=True)
        ]
        bound = 'start server bound to' if isinstance(service, GatewayService) else 'start listening on'
        for address in addresses:
            self.logger.debug('%s %s', bound, address.target)
        if isinstance(service, GatewayService):
            what = '' if isinstance(options, GatewayOptions) else 'the head is '
        else:
            what = f'Executor {type(service.executor).__name__} is '
        self.logger.success('%sready and listening on %s', what, ', '.join(map(str, addresses)))
        return addresses

    async def _start_custom(self, options: GatewayOptions) -> list[PodAddress]:
        """Runs the gateway that ``uses`` stands for."""
        from jina.runtime.gateways.context import logger_of  # noqa: PLC0415 - few gateways are custom ones
        from jina.runtime.gateways.host import GatewayHost  # noqa: PLC0415
        from jina.runtime.gateways.loading import find_gateway  # noqa: PLC0415

        definition, options = find_gateway(options)
        options.refuse_unused()
        self._options = options = options.joining() if self._options.takes_over else options
        self._protection = Protection.of(options)
        self._admission = admission_of(options)
        self.logger = logger_of(options)
        service = self.service = self._make_service()
        assert isinstance(service, GatewayService)
        self._custom = GatewayHost(definition, options, service, self._make_server, logger=self.logger)
        self._custom.on_end = lambda: self._end(None)
        try:
            self.on_loaded()
            await service.start()
            addresses = await self._custom.start()
            self._ports = [address.port for address in addresses]
        except BaseException:
            await self._give_up()
            raise
        name = definition.gateway_class.__name__
        self.logger.success('%s is ready and listening on %s', name, ', '.join(map(str, addresses)))
        return addresses

    def _waits_for(self, service: Service) -> bool:
        """Whether the server listens, and refuses requests, while the service warms up. Clients of a shared port would meet it."""
        return not (isinstance(service, GatewayService) or self._options.joins_port) and service.has_warm_up

    @property
    def is_over(self) -> bool:
        """Whether the server of a custom gateway has ended, so that nothing is left which a second signal could hurry."""
        return self._custom is not None and self._custom.is_over

    async def load(self) -> None:
        """Makes the service and gets it ready to answer, without a server.

        Raises:
            JinaError: A configuration is wrong, or the graph doesn't fit together.
            Exception: What the Executor's ``__init__`` or ``warm_up`` raises.
        """
        self.service = self._make_service()
        try:
            await self.service.start()
        except BaseException:
            await self._give_up()
            raise

    def _make_service(self) -> Service:
        self._observation = self._observe()
        if self._balances:
            gateway = self._make_gateway()
            gateway.on_change = self._refresh
            return gateway
        assert isinstance(self._options, ExecutorOptions)
        # In the loop's own thread on purpose: an Executor may make asyncio objects when it is loaded.
        service: WorkerService | ReloadingService | StatefulService
        if self._options.reload:
            from jina.runtime.reload import ReloadingService  # noqa: PLC0415 - for development only

            service = ReloadingService(self._options, logger=self.logger, instruments=self._instruments)
            service.on_change = self._refresh
        elif self._options.stateful:
            from jina.runtime.stateful import StatefulService  # noqa: PLC0415 - few Executors are

            service = StatefulService(self._options, logger=self.logger, instruments=self._instruments)
        else:
            service = WorkerService(self._options, logger=self.logger, instruments=self._instruments)
        service.on_fatal = self._end
        return service

    def _make_gateway(self) -> GatewayService:
        options = self._options
        make_peer = None if self._observation is None else self._make_peer
        if isinstance(options, GatewayOptions):
            return GatewayService(options, logger=self.logger, open_channel=self._open_channel, make_peer=make_peer)
        from jina.runtime.head import HeadService  # noqa: PLC0415 - few Deployments have shards

        return HeadService(options, logger=self.logger, open_channel=self._open_channel, make_peer=make_peer)

    def _refresh(self) -> None:
        """Shows other endpoints where they are listed."""
        for server in self._servers:
            if not isinstance(server, GrpcServer):
                server.refresh()
        if self._custom is not None:
            self._custom.refresh()

    async def command(self, command: Mapping[str, Any]) -> None:
        """Does what the parent process asks for while the server runs.

        Args:
            command: ``{'do': 'reconnect', 'name': ..., 'addresses': ..., 'grace': ...}`` for a gateway or a head, see
                ``GatewayService.reconnect``; ``{'do': 'share', 'addresses': ..., 'grace': ...}`` for a worker;
                ``{'do': 'share_port'}`` lets another process listen on the same ports, ``{'do': 'leave', 'grace': ...}``
                leaves them to it.

        Raises:
            NotSupportedError: This kind of process doesn't know the command.
        """
        arguments = dict(command)
        what = arguments.pop('do', None)
        service = self.service
        if what == 'reconnect' and isinstance(service, GatewayService):
            await service.reconnect(**arguments)
        elif what == 'share_port':
            from jina.runtime.handover import share  # noqa: PLC0415 - few processes are replaced

            share(self._ports, self._options.runtime_name)
        elif what == 'leave':
            await self._leave(**arguments)
        elif what == 'share' and isinstance(service, WorkerService):
            await service.share(**arguments)
        else:
            raise NotSupportedError(
                f'{self._options.runtime_name} can not share its work',
                hint='leave out reload, or start it with replicas=2',
            )

    async def _leave(self, grace: float) -> None:
        """Answers what there is, in so many seconds at most, while another process gets what comes."""
        from jina.runtime.handover import turn_away  # noqa: PLC0415 - few processes are replaced

        await turn_away(self._ports)
        if not isinstance(self.service, GatewayService):
            self.service.flush()
        if self._custom is not None:
            self._custom.expect_end()
        await asyncio.gather(*(server.leave(grace) for server in self._made))
        if self._custom is not None:
            await self._custom.stop(grace)

    async def stop(self, grace: float | None = None, *, leave_floating: bool = True) -> None:
        """Refuses new requests, answers those in flight, waits for floating Executors, and closes the service.

        Args:
            grace: Seconds for all of that, without the closing of the Executor; by default what the options say.
            leave_floating: What floating Executors haven't done by then is given up; else it is waited for.
        """
        loop = asyncio.get_running_loop()
        grace = self._options.graceful_shutdown_s if grace is None else grace
        deadline = loop.time() + grace
        if not isinstance(self.service, GatewayService):
            self.service.flush()
        stopping = [*self._servers, *([self._custom] if self._custom else [])]
        await asyncio.gather(*(server.stop(grace or None) for server in stopping))
        if isinstance(self.service, GatewayService):
            if self.service.floating_requests and not leave_floating:
                self.logger.info('waiting for %d requests in floating Executors', self.service.floating_requests)
            await self.service.drain(max(0.0, deadline - loop.time()) if leave_floating else None)
        try:
            await self.service.close()
        finally:
            if self._lag is not None:
                self._lag.cancel()
            if self._observation is not None:  # in a thread: a collector that doesn't answer must not hold up the loop
                await asyncio.to_thread(self._observation.close)

    async def _give_up(self) -> None:
        """Closes what was made after a failed start; a second failure must not hide the first one."""
        try:
            await self.stop(0)
        except Exception as error:  # noqa: BLE001 - logged, and what failed first is raised
            self.tell_of_close(error)

    def tell_of_close(self, error: Exception) -> None:
        """Logs what ``stop`` has raised."""
        name = self._options.runtime_name
        self.logger.error('%s was not closed in good order: %r', name, error, exc_info=error)

    def _observe(self) -> Observation | None:
        options = self._options
        if not (options.tracing or options.metrics or options.monitoring):
            return None
        from jina.runtime.observation import observe, watch_loop  # noqa: PLC0415 - OpenTelemetry, for those who record

        observation = observe(options)
        if observation.measures is not None:
            self._lag = watch_loop(observation.measures)
        port = observation.telemetry.prometheus_port
        if port is not None:
            self.logger.info('metrics for Prometheus are at http://%s:%s', _host_of(options), port)
        return observation

    @property
    def _instruments(self) -> dict[str, Any]:
        return {} if self._observation is None else self._observation.instruments

    def _make_peer(
        self, deployment: str, address: str, settings: ConnectionSettings, on_return: Any, metadata: Any
    ) -> Peer:
        from jina.runtime.observed_peer import ObservedPeer  # noqa: PLC0415 - OpenTelemetry, for those who record

        assert self._observation is not None
        return ObservedPeer(
            address, settings, on_return, metadata, deployment=deployment, observation=self._observation
        )

    def _served(self, entry: Literal['grpc', 'http', 'websocket']) -> Any:
        """What a server answers with: the service, watched if something is recorded, within its limits."""
        if self._observation is None:
            return limited(self.service, self._admission)
        from jina.runtime import observed_service  # noqa: PLC0415 - OpenTelemetry, for those who record

        if isinstance(self._options, GatewayOptions):
            kind = observed_service.ObservedService
        else:
            kind = observed_service.ObservedHead if self._options.is_head else observed_service.ObservedWorker
        return limited(kind(self.service, self._observation, entry), self._admission)

    def _end(self, _: BaseException | None) -> None:
        self.exit_code = 1
        self.ended.set()

    def _port(self, index: int, host: str) -> int:
        port = self._options.port[index] if self._options.port else 0
        return shared_port(self._options, host, port) if self._options.shares_port else port

    def _make_server(self, protocol: ProtocolType, host: str, port: int, app: Any = None) -> Server:
        server = self._server_of(protocol, host, port, app)
        self._made.append(server)
        return server

    def _server_of(self, protocol: ProtocolType, host: str, port: int, app: Any) -> Server:
        if protocol is ProtocolType.GRPC:
            return self._make_grpc_server(host, port)
        # Both are extras; workers inside a Flow don't need them.
        if protocol is ProtocolType.HTTP:
            with _extra('the HTTP server', 'http'):
                from jina.runtime.http.server import HttpServer  # noqa: PLC0415
            role: Literal['worker', 'gateway'] = 'gateway' if self._balances else 'worker'
            server = HttpServer(
                self._served('http'),
                self._options,
                role=role,
                port=port,
                logger=self.logger,
                app=app,
                access=self._protection.access,
            )
            server.linger_s = self._linger_s
            return server
        with _extra('the WebSocket server', 'websocket'):
            from jina.runtime.websocket.server import WebSocketServer  # noqa: PLC0415
        return WebSocketServer(
            self._served('websocket'),
            self._options,
            is_worker=not self._balances,
            host=host,
            port=port,
            logger=self.logger,
            access=self._protection.access,
        )

    def _make_grpc_server(self, host: str, port: int) -> GrpcServer:
        options = self._options
        server = GrpcServer(
            self._served('grpc'),
            host=host,
            port=port or random_port_range() or 0,
            options=_grpc_server_options(options),
            # A gateway's option is for its calls to Executors; what its clients want, they ask for themselves.
            compression=None if self._balances else compression_of(options.compression),
            prefetch=options.prefetch if isinstance(options, GatewayOptions) else _DEFAULT_PREFETCH,
            protection=self._protection,
        )
        if self._balances and not isinstance(options, GatewayOptions):
            server.count_shards = getattr(self.service, 'count_shards', None)
        return server


def _grpc_server_options(options: ExecutorOptions | GatewayOptions) -> dict[str, object]:
    """Returns what differs from the defaults; what ``grpc_server_options`` says wins."""
    found: dict[str, object] = dict(_SHARED_PORT) if options.shares_port else {}
    if options.timeout_headers > 0:
        found['grpc.server_handshake_timeout_ms'] = options.timeout_headers
    return {**found, **(options.grpc_server_options or {})}


def _host_of(options: ExecutorOptions | GatewayOptions) -> str:
    return options.host if isinstance(options, GatewayOptions) else options.host[0]


@contextlib.contextmanager
def _extra(what: str, extra: str) -> Iterator[None]:
    """Says how to install what an import misses."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or 'jina').partition('.')[0] == 'jina':
            raise
        raise MissingExtraError(what, install=f'jina-runtime[{extra}]') from error


def serve(
    options: ExecutorOptions | GatewayOptions,
    *,
    on_ready: Callable[[list[PodAddress]], None],
    on_commands: Commands | None = None,
    linger_s: float = 0.0,
) -> int:
    """Runs a pod until SIGTERM or SIGINT, or until an exception of ``exit_on_exceptions``.

    A first signal drains, a second one ends at once. Signals are handled only in the main thread, and only from the moment
    when the Executor is made, which is closed then in every case; before, SIGTERM kills the process as usual.

    Args:
        options: Options of an Executor, or of a gateway.
        on_ready: Called with the real addresses when all servers listen.
        on_commands: Called before with what takes commands of the parent process, in any thread, see ``PodServer.command``.
        linger_s: See ``PodServer``.

    Returns:
        The exit status for the process.

    Raises:
        JinaError: A configuration is wrong, a port is taken, or the graph doesn't fit together.
        Exception: What the Executor's ``__init__`` raises.
    """
    if options.env:
        os.environ.update(options.env)
    os.environ['JINA_DEPLOYMENT_NAME'] = options.runtime_name
    grpc_traffic.begin(served=ProtocolType.GRPC in options.protocol)
    _raise_file_limit()
    keep_freed_memory()
    loop = (getattr(options, 'uvicorn_kwargs', None) or {}).get('loop', 'auto')
    return run(_serve(options, on_ready, on_commands, linger_s), loop=loop)


async def _serve(
    options: ExecutorOptions | GatewayOptions,
    on_ready: Callable[[list[PodAddress]], None],
    on_commands: Commands | None,
    linger_s: float,
) -> int:
    pod = PodServer(options, linger_s=linger_s)
    loop = asyncio.get_running_loop()
    force = asyncio.Event()
    pod.on_loaded = lambda: _handle_signals(pod, force)
    starting = asyncio.ensure_future(pod.start())
    ended = asyncio.ensure_future(pod.ended.wait())
    await asyncio.wait((starting, ended), return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
        return pod.exit_code
    addresses = starting.result()
    # What was loaded stays: the collector needn't look at it again and again.
    gc.collect()
    gc.freeze()
    try:
        if on_commands is not None:
            on_commands(lambda command: asyncio.run_coroutine_threadsafe(pod.command(command), loop))
        on_ready(addresses)
    except BaseException:
        await pod.stop(0)
        raise
    await pod.ended.wait()
    pod.logger.debug('stopping: finishing requests in flight for up to %.1f s', options.graceful_shutdown_s)
    drain = asyncio.ensure_future(pod.stop(leave_floating=False))
    forced = asyncio.ensure_future(force.wait())
    await asyncio.wait((drain, forced), return_when=asyncio.FIRST_COMPLETED)
    forced.cancel()
    if not drain.done():
        pod.logger.warning('stopping at once')
        drain.cancel()
        return pod.exit_code or 1
    try:
        drain.result()
    except Exception as error:  # noqa: BLE001 - the process boundary: it is logged
        pod.tell_of_close(error)
        return 1
    return pod.exit_code


def _handle_signals(pod: PodServer, force: asyncio.Event) -> None:
    if threading.current_thread() is not threading.main_thread():
        return

    def handle() -> None:
        if not pod.ended.is_set():
            pod.ended.set()
        elif not pod.is_over:  # uvicorn in a custom gateway sends the first signal once more when it has ended
            force.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A parent that ignores Ctrl-C for its pods means to stop them itself, in its own order.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, handle)


def _raise_file_limit() -> None:
    """Allows for some thousand connections: the default of many systems is 1024 open files."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ModuleNotFoundError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def remaining_threads() -> Sequence[threading.Thread]:
    """Threads that would keep the interpreter from ending."""
    return [
        thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.current_thread()
    ]
