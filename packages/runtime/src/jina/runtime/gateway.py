"""The entrance of a Flow, and of a Deployment with several replicas."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jina.core.config import GatewayOptions
from jina.core.environment import DEFAULT_TIMEOUT_CTRL
from jina.core.errors import InputError, JinaError, MissingDeploymentError, NotSupportedError, RemoteError
from jina.core.logging.logger import JinaLogger
from jina.core.payloads import Payload
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.topology import Topology
from jina.core.wire import DRY_RUN_ENDPOINT, EndpointsProto
from jina.runtime.answers import serialise
from jina.runtime.connections import PROXY_OPTION, ConnectionSettings, MakePeer, OpenChannel, PeerGroup
from jina.runtime.discovery import Directory
from jina.runtime.fast_lane import Finish
from jina.runtime.group import Group
from jina.runtime.name_watch import NameWatch, is_followed, without_scheme
from jina.runtime.passage import Passage
from jina.runtime.patient_group import PatientGroup
from jina.runtime.service import Cancel, Finished, begin_by_task
from jina.runtime.stream_items import Render, StreamItem, received_item, wire_item
from jina.runtime.stream_route import StreamRoutes
from jina.runtime.waiting_room import WaitingRoom
from jina.runtime.walker import State, Walker

if TYPE_CHECKING:
    from docarray import DocList
    from typing_extensions import Self

_SCHEMAS_WAIT_S: Final = 2.0
_DRY_RUN_TRY_S: Final = 10.0


def _control_timeout(options: GatewayOptions) -> float | None:
    """Seconds for one try of a dry run. The documented default, 60 ms, is too short for one and stands for 10 seconds."""
    if options.timeout_ctrl == DEFAULT_TIMEOUT_CTRL:
        return _DRY_RUN_TRY_S
    return options.timeout_ctrl / 1000 if options.timeout_ctrl >= 0 else None


def compression_of(name: str | None) -> str | None:
    """Returns how messages are compressed, for the value of the option ``compression``; None if they aren't."""
    return None if name == 'NoCompression' else name


def _connection_settings(options: GatewayOptions, open_channel: OpenChannel | None, owner: str) -> ConnectionSettings:
    limit = options.timeout_send
    return ConnectionSettings(
        retries=options.retries,
        timeout=None if limit is None or limit < 0 else limit / 1000,
        compression=compression_of(options.compression),
        channel_options={PROXY_OPTION: int(options.proxy), **(options.grpc_channel_options or {})},
        open_channel=open_channel,
        cafile=options.ssl_cafile,
        owner=owner,
    )


class GatewayService:
    """Answers requests by taking them through a graph of Executors. Make it inside a running event loop.

    Args:
        options: The graph, the addresses, and how to talk to them.
        logger: Logger of the process; by default one is made from the options.
        open_channel: Gives the channel to an address; None, or for None, it is connected as usual.
        make_peer: Makes a replica that is watched, see ``ConnectionSettings``.

    Raises:
        TopologyError: The graph is invalid.
        MissingDeploymentError: A Deployment of the graph has no address.
        ConfigError: An address is invalid.
    """

    _role = 'Gateway'

    def __init__(
        self,
        options: GatewayOptions,
        *,
        logger: JinaLogger | None = None,
        open_channel: OpenChannel | None = None,
        make_peer: MakePeer | None = None,
    ) -> None:
        self.name = options.runtime_name
        self.logger = logger or JinaLogger(
            self.name, log_config=options.log_config, quiet=options.quiet, quiet_error=options.quiet_error
        )
        topology = Topology.from_description(
            options.graph_description,
            options.graph_conditions,
            options.deployments_no_reduce,
            options.graph_merge_order,
        )
        self._graph = topology.description()
        self._plan = topology.compile()
        settings = replace(_connection_settings(options, open_channel, self._role), make_peer=make_peer)
        self.on_change: Callable[[], object] = lambda: None
        """Called when an Executor has other endpoints than before; only with the option ``reload``."""
        self._follows = options.reload
        self.control_timeout = _control_timeout(options)
        """Seconds for one try of a dry run, None for no limit."""
        self._watches: list[NameWatch] = []
        self._groups: dict[str, Group] = {}
        for step in self._plan.steps:
            group = self._groups[step.name] = self._make_group(step.name, options, settings)
            for address in group.addresses:
                shown = address if '://' in address else f'grpc://{address}'
                self.logger.debug('adding connection for deployment %s to %s', step.name, shown)
        self._directory = Directory(self._plan, self._groups, self.logger)
        self._walker = Walker(self._plan, self._groups, self._directory, self.logger)
        self._streams = StreamRoutes(self._plan, self._groups, self._directory, self.logger)

    def _make_group(self, name: str, options: GatewayOptions, settings: ConnectionSettings) -> Group:
        """Returns the connections of one Deployment."""
        return self._connect(name, _addresses(options, name), settings, options.deployments_metadata.get(name))

    def _connect(
        self,
        name: str,
        addresses: Sequence[str],
        settings: ConnectionSettings,
        metadata: Mapping[str, str] | None,
        *,
        deployment: str = '',
    ) -> PeerGroup:
        """Returns the connections to replicas; names among their addresses are followed from the start on.

        Args:
            name: Name of the group.
            addresses: Addresses of replicas.
            settings: How to connect.
            metadata: Sent with every call.
            deployment: The Deployment that they belong to, if it has another name.
        """
        on_return = partial(self._on_return, deployment or name)
        plain = [without_scheme(address) for address in addresses]
        group = PeerGroup(name, plain, settings, metadata=metadata, on_return=on_return)
        if any(map(is_followed, addresses)):
            self._watches.append(NameWatch(group, addresses, self.logger))
        return group

    def waiting(self) -> Self:
        """Returns the same service for requests that wait where the replicas of an Executor are all at their limits."""
        groups = {name: self._patient(group) for name, group in self._groups.items()}
        twin = copy.copy(self)
        twin._walker = self._walker.among(groups)
        twin._streams = self._streams.among(groups)
        return twin

    def _patient(self, group: Group) -> Group:
        return PatientGroup(group) if isinstance(group, PeerGroup) else group

    @property
    def waiting_rooms(self) -> list[WaitingRoom]:
        """Where requests wait that came by ``waiting``."""
        return [group.room for group in self._groups.values() if isinstance(group, PeerGroup)]

    async def reconnect(self, name: str, addresses: Any, grace: float) -> None:
        """Changes the replicas of a Deployment. Those that leave get no new requests and answer those they have.

        Args:
            name: Name of the Deployment.
            addresses: One address per replica.
            grace: Seconds to wait for the answers of replicas that leave.

        Raises:
            MissingDeploymentError: The graph has no such Deployment.
        """
        group = self._groups.get(name)
        if not isinstance(group, PeerGroup):
            raise MissingDeploymentError(f'{self.name} has no deployment {name!r}')
        await group.update(addresses, grace)
        self.logger.info('deployment %s has the addresses %s', name, ', '.join(group.addresses))

    async def start(self) -> None:
        """Asks the Executors for their endpoints and checks that they fit together.

        Executors that don't answer yet are asked again in the background.

        Raises:
            TopologyError: Two Executors don't fit together.
        """
        await asyncio.gather(*(watch.start() for watch in self._watches))
        await self._directory.start()
        if self._follows:
            self._directory.follow(lambda: self.on_change())

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request, without a task if the graph is a chain.

        Args:
            raw: The request.
            finish: Called with the serialised response.
            many: It is a list of requests, which gateways don't take.
            metadata: Metadata of the caller; trace context in it is sent on to Executors.
            timeout: Seconds that the caller still waits; None for no limit.

        Returns:
            What cancels it, None if it is answered already.
        """
        try:
            if many:
                raise NotSupportedError(f'{self.name} takes no lists of requests')
            request = DataRequest.from_bytes(raw)
        except JinaError as error:
            finish(b'', True, error)
            return None

        def finished(response: DataRequest | None, error: Exception | None) -> None:
            if response is not None:
                finish(*serialise(response))
            else:
                finish(b'', True, error if isinstance(error, JinaError) else JinaError(f'Unexpected {error!r}'))

        return self._walk(request, finished, metadata, timeout)

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Starts to take one request through the graph.

        Args:
            request: The request; it may be changed, and be the response.
            finished: Called with the response, or with a ``TransportError``.
            with_routes: The response tells where the request was; False for who doesn't show it, as HTTP.

        Returns:
            What cancels it, None if it is answered already.
        """
        return self._walk(request, finished, request.trace, None, with_routes=with_routes)

    def _walk(
        self,
        request: DataRequest,
        finished: Finished,
        metadata: Sequence[tuple[str, str]],
        timeout: float | None,
        *,
        with_routes: bool = True,
    ) -> Cancel | None:
        if not self._plan.is_chain:
            return begin_by_task(self._walker.walk(request, metadata, timeout), finished)
        try:
            visit = self._walker.visit(request, metadata, timeout)
        except InputError as error:
            request.add_exception(error)
            finished(request, None)
            return None
        passage = Passage(self._walker, visit, finished, with_routes=with_routes)
        passage.go(State(request))
        return passage.cancel

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Takes one request through the graph.

        Args:
            request: The request.
            metadata: Metadata of the caller; trace context in it is sent on to Executors.
            timeout: Seconds that the caller still waits; None for no limit.

        Raises:
            TransportError: An Executor can't be reached, or takes too long.
        """
        return await self._walker.walk(request, metadata, timeout)

    def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers one document with those that the last Executor of the graph yields.

        Args:
            request: The document and the endpoint.
            timeout: Seconds that the caller still waits; None for no limit.
            render: Turns documents into what is sent.

        Raises:
            TransportError: An Executor can't be reached, or the stream broke.
        """
        return self._streams.stream(request, timeout, render)

    async def call(self, name: str, request: DataRequest) -> DataRequest:
        """Sends one request to one Deployment, whatever the graph says.

        Args:
            name: Name of the Deployment.
            request: The request.

        Raises:
            TransportError: It can't be reached, or takes too long.
        """
        return DataRequest.from_bytes(await self._groups[name].process(request.to_payload(), request.exec_endpoint))

    async def call_stream(self, name: str, request: SingleDocumentRequest) -> AsyncGenerator[StreamItem, None]:
        """Sends one document to an endpoint of one Deployment that streams, whatever the graph says.

        Args:
            name: Name of the Deployment.
            request: The document and the endpoint.

        Raises:
            TransportError: It can't be reached, or the stream broke.
        """
        responses = self._groups[name].stream_doc(request.to_bytes(), request.exec_endpoint)
        async with contextlib.aclosing(responses):
            async for raw in responses:
                yield received_item(raw)

    async def output_type(
        self, endpoint: str, *, target: str | None = None, deployment: str = ''
    ) -> type[DocList[Any]] | None:
        """Returns a type for the documents that come out at an endpoint, made from the Executors' schemas.

        Args:
            endpoint: The endpoint.
            target: Regular expression for the names of the Executors that a request is for; None for all.
            deployment: The Deployment that is called alone; empty for the graph.

        Returns:
            None if no Executor answers at this endpoint. An Executor that hasn't told its schemas yet gives untyped documents.
        """
        from docarray import DocList  # noqa: PLC0415 - a gateway over gRPC must not need docarray

        if not self._directory.is_complete:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._directory.wait(), _SCHEMAS_WAIT_S)
            if not self._directory.is_complete:
                return DocList
        found = self._directory.lookup(deployment, endpoint) if deployment else self._directory.output(endpoint, target)
        return None if found is None else found.types().output_list

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of the graph's endpoints. Waits until every Executor has answered once."""
        await self._directory.wait()
        return self._directory.proto()

    def topology(self) -> dict[str, Any]:
        """Returns ``graph`` as ``Topology.description`` gives it, and ``replicas``: the addresses of each Deployment."""
        return {'graph': self._graph, 'replicas': {name: group.addresses for name, group in self._groups.items()}}

    async def dry_run(self) -> None:
        """Contacts every Deployment.

        Raises:
            TransportError: A Deployment can't be reached.
            RemoteError: An Executor failed on the dry-run request.
        """
        await asyncio.gather(*(self._dry_run(group) for group in self._groups.values()))

    @property
    def floating_requests(self) -> int:
        """Number of branches that no response waited for and that aren't done."""
        return self._walker.floating_branches + self._streams.floating_branches

    async def drain(self, timeout: float | None = None) -> None:
        """Waits for floating Executors that still work on requests.

        Args:
            timeout: Seconds; what isn't done by then is cancelled.
        """
        await self._walker.drain(timeout)
        await self._streams.drain(timeout)

    async def close(self) -> None:
        """Closes the connections, after floating Executors are done."""
        await self.drain()
        self._directory.close()
        await asyncio.gather(*(watch.close() for watch in self._watches))
        await asyncio.gather(*(group.close() for group in self._groups.values()))

    async def _dry_run(self, group: Group) -> None:
        request = DataRequest()
        request.exec_endpoint = DRY_RUN_ENDPOINT
        answer = await group.process(request.to_bytes(), DRY_RUN_ENDPOINT, timeout=self.control_timeout)
        response = DataRequest.from_bytes(answer)
        if response.is_error:
            status = response.status
            raise RemoteError(
                status.description,
                name=status.exception.name,
                executor=status.exception.executor,
                request_id=response.request_id,
                remote_args=status.exception.args,
                stacks=status.exception.stacks,
            )

    def _on_return(self, name: str) -> None:
        """A replica is back, perhaps as a new version: ask for its endpoints again."""
        self.logger.debug('deployment %s is reachable again', name)
        self._directory.refresh(name)


def _addresses(options: GatewayOptions, name: str) -> list[str]:
    found: Any = options.deployments_addresses.get(name)
    if not found:
        raise MissingDeploymentError(
            f'deployment {name!r} of the graph has no address', hint='give it in deployments_addresses'
        )
    return [found] if isinstance(found, str) else [str(address) for address in found]
