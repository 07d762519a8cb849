"""Clients for unit tests: an Executor, a Deployment or a Flow in the test's own process, without ports.

All layers are the real ones: the client with its codec and callbacks, the gateway with its routing, the Executors with
their threads. Messages go through :mod:`jina.runtime.in_process` instead of a connection.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jina.client.client import AsyncClient, SyncClient
from jina.client.loop import BackgroundLoop
from jina.client.transports.base import CallOptions, RequestSource, exchange_one_by_one
from jina.client.transports.grpc import GrpcTransport
from jina.core.config import ClientOptions, DeploymentOptions, GatewayOptions, PodAddress, build
from jina.core.enums import ProtocolType
from jina.core.environment import fast_lane_disabled
from jina.core.errors import ConfigError, NotStartedError, StartupError
from jina.core.executor import BaseExecutor
from jina.core.yaml import load_yaml
from jina.orchestrate import launcher
from jina.orchestrate.deployment import Deployment
from jina.orchestrate.flow import Flow
from jina.orchestrate.pod_options import around_options, head_options
from jina.runtime.in_process import InProcessChannel, InProcessPod

if TYPE_CHECKING:
    from jina.client.transports.base import Transport
    from jina.core.request import DataRequest, Response
    from typing_extensions import Self

__all__ = ['AsyncTestClient', 'TestClient']

_ADDRESS = PodAddress(ProtocolType.GRPC, 'in-process', 0)


class _Stage:
    """The services of a Deployment or a Flow in one event loop."""

    def __init__(self, uses: Any, options: dict[str, Any]) -> None:
        self.target = _target(uses, options)
        self.executors: dict[str, BaseExecutor] = {}
        self._channels: dict[str, InProcessChannel] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> _InProcessTransport:
        """Makes all Executors and, where there is one, the gateway."""
        self.executors.clear()  # of an earlier with statement
        self._channels.clear()
        target = self.target
        environ = dict((target.options.env if isinstance(target, Flow) else None) or {})
        deployments = target.deployments if isinstance(target, Flow) else [target]
        for deployment in deployments:
            environ.update(deployment.options.env or {})
        try:
            self._stack.enter_context(_environment(environ))
            addresses = {deployment.name: await self._open(deployment) for deployment in deployments}
            gateway = _gateway_options(target, addresses)
            if gateway is None:
                channel = self._channels[addresses[target.name or ''][0]]
            else:
                channel = (await self._start(InProcessPod(gateway, self._channels), f'gateway of {target!r}')).channel
        except BaseException:
            await self.close()
            raise
        transport = _InProcessTransport(channel)
        self._stack.push_async_callback(transport.close)
        return transport

    async def close(self) -> None:
        """Closes everything in the reverse order."""
        await self._stack.aclose()

    async def _open(self, deployment: Deployment) -> list[str]:
        """Makes the Executors of a Deployment and returns their addresses."""
        if deployment.external:
            return [str(address) if address.tls else address.target for address in deployment.replica_addresses]
        owner = f'Deployment {deployment.name!r}'
        shards = []
        for shard in range(deployment.shards):
            replicas = deployment.replica_options(shard)
            if deployment.options.stateful:  # one that answers all requests has the state that all would have
                del replicas[1:]
            shards.append([await self._open_executor(options, owner) for options in replicas])
        if not deployment.options.needs_head:
            return shards[0]
        around: dict[str, str] = {
            options.around: await self._open_executor(options, owner) for options in around_options(deployment.options)
        }
        options = head_options(deployment.options, shards, around, is_public=False)
        return [self._listed(await self._start(InProcessPod(_steady(options), self._channels), owner))]

    async def _open_executor(self, options: DeploymentOptions, owner: str) -> str:
        pod = await self._start(InProcessPod(_steady(options)), owner)
        self.executors.setdefault(options.name or 'executor', pod.service.executor)
        return self._listed(pod)

    def _listed(self, pod: InProcessPod) -> str:
        """Gives a pod an address."""
        address = f'in-process:{len(self._channels) + 1}'
        self._channels[address] = pod.channel
        return address

    async def _start(self, pod: InProcessPod, owner: str) -> InProcessPod:
        try:
            await pod.start()
        except Exception as error:
            trace = ''.join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
            raise StartupError(f'{owner} failed to start: {type(error).__name__}: {error}\n\n{trace}') from error
        self._stack.push_async_callback(pod.stop)
        return pod


class _InProcessTransport(GrpcTransport):
    """The client's end of a channel inside of the process."""

    def __init__(self, channel: InProcessChannel) -> None:
        super().__init__(_ADDRESS)
        self._in_process = channel

    def _channel(self, retry: bool = False) -> Any:
        return self._in_process

    def exchange(self, source: RequestSource, options: CallOptions) -> AsyncGenerator[list[Response], None]:
        if not fast_lane_disabled():
            return super().exchange(source, options)

        async def send(request: DataRequest) -> Response:
            return await self._send(request, options)

        return exchange_one_by_one(send, source, options)


class TestClient(SyncClient):
    """A client of an Executor, a Deployment or a Flow that runs inside of this process while the ``with`` statement lasts.

    Calls go through everything that a deployed service has: schema checks, the codec, routing, joins and filters, streaming,
    callbacks and errors. Only processes and ports are missing, so that a test takes milliseconds.

    Args:
        uses: An Executor class, its name or its YAML; a ``Deployment``, a ``Flow``, or the YAML of one in any form.
        options: Of an Executor: options of a Deployment, for example ``uses_with``. Of YAML: those of ``load_config``.

    Raises:
        ConfigError: An option doesn't exist or has a wrong value.

    >>> from jina import Executor, TestClient
    >>> with TestClient(Executor) as client:
    ...     client.is_deployment_ready()
    True
    """

    __test__ = False  # the name looks like a test class to pytest
    protocol = ProtocolType.GRPC

    def __init__(self, uses: Any = 'BaseExecutor', **options: Any) -> None:
        super().__init__(ClientOptions())
        self.address = _ADDRESS
        self._stage = _Stage(uses, options)
        self._loop: BackgroundLoop | None = None
        self._transport: _InProcessTransport | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f'a {type(self).__name__} runs inside of its process and can not be sent to another one')

    @property
    def executors(self) -> dict[str, BaseExecutor]:
        """The Executor objects by the names of their Deployments; of several replicas the first."""
        return self._stage.executors

    @property
    def executor(self) -> Any:
        """The Executor object, of a Flow the first."""
        return _first(self.executors)

    def start(self) -> Self:
        """Makes the Executors. The ``with`` statement calls it.

        Raises:
            StartupError: One of them failed; the message has its traceback.
        """
        if self._loop is None:
            self._loop = BackgroundLoop()
            try:
                self._transport = self._loop.run(lambda _: self._stage.open())
            except BaseException:
                self.close()
                raise
        return self

    def close(self) -> None:
        """Closes the Executors."""
        loop, self._loop, self._transport = self._loop, None, None
        if loop is not None:
            try:
                loop.run(lambda _: self._stage.close())
            finally:
                loop.stop()

    def __enter__(self) -> Self:
        return self.start()

    def background(self) -> BackgroundLoop:
        if self._loop is None:
            raise _not_started()
        return self._loop

    def _open(self) -> Transport:
        if self._transport is None:
            raise _not_started()
        return self._transport


class AsyncTestClient(AsyncClient):
    """The asynchronous form of :class:`TestClient`: the Executors run on the loop of the test.

    Args:
        uses: As for ``TestClient``.
        options: As for ``TestClient``.

    Raises:
        ConfigError: An option doesn't exist or has a wrong value.
    """

    __test__ = False
    protocol = ProtocolType.GRPC

    def __init__(self, uses: Any = 'BaseExecutor', **options: Any) -> None:
        super().__init__(ClientOptions(asyncio=True))
        self.address = _ADDRESS
        self._stage = _Stage(uses, options)
        self._transport: _InProcessTransport | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f'a {type(self).__name__} runs inside of its process and can not be sent to another one')

    @property
    def executors(self) -> dict[str, BaseExecutor]:
        """The Executor objects by the names of their Deployments; of several replicas the first."""
        return self._stage.executors

    @property
    def executor(self) -> Any:
        """The Executor object, of a Flow the first."""
        return _first(self.executors)

    async def __aenter__(self) -> Self:
        self._transport = await self._stage.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the Executors."""
        self._transport = None
        await self._stage.close()

    @asynccontextmanager
    async def _lease(self) -> AsyncGenerator[Transport, None]:
        if self._transport is None:
            raise _not_started()
        yield self._transport


def _not_started() -> NotStartedError:
    return NotStartedError('the Executors of the test client do not run', hint='use it in a with statement')


def _first(executors: dict[str, BaseExecutor]) -> BaseExecutor:
    if not executors:
        raise _not_started()
    return next(iter(executors.values()))


def _target(uses: Any, options: dict[str, Any]) -> Deployment | Flow:
    """The Deployment or Flow that is meant; nothing is prepared for a start in other processes."""
    if isinstance(uses, (Deployment, Flow)):
        if options:
            raise ConfigError(
                f'TestClient got a {uses.kind} and the options {", ".join(options)}',
                hint=f'give them to the {uses.kind}',
            )
        return uses
    if isinstance(uses, BaseExecutor):
        raise ConfigError(
            f'TestClient got the object {uses!r}',
            hint=f'give the class {type(uses).__name__}, and what its __init__ takes as uses_with',
        )
    kind = None if isinstance(uses, type) else load_yaml(uses, substitute=False).data.get('jtype')
    with launcher.unprepared():
        if kind == 'Flow':
            return Flow.load_config(uses, **options)
        if kind == 'Deployment':
            return Deployment.load_config(uses, **options)
    return Deployment.of_options(build(DeploymentOptions, {'uses': uses, **options}, where='TestClient'))


def _gateway_options(target: Deployment | Flow, addresses: dict[str, list[str]]) -> GatewayOptions | None:
    """Options of the gateway in front; None if there is none."""
    if isinstance(target, Flow):
        options = target.complete_gateway_options(target.topology)
    elif target.needs_gateway or target.external:
        options = target.gateway_options()
    else:
        return None
    return options.model_copy(update={'deployments_addresses': addresses})


def _steady(options: DeploymentOptions) -> DeploymentOptions:
    return options.model_copy(update={'reload': False, 'stateful': False})


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
