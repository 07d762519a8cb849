"""The process in front of the shards of a Deployment: a gateway whose graph is what ``uses_before`` adds, and the shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from jina.core.config import DeploymentOptions, ExecutorOptions, GatewayOptions, shard_addresses
from jina.core.enums import PodRoleType
from jina.core.errors import InputError, MissingDeploymentError, RequestTypeError
from jina.core.logging.logger import JinaLogger
from jina.core.payloads import Payload
from jina.core.request import DataRequest
from jina.core.topology import Node, Topology
from jina.core.wire import FAILED_SHARDS_KEY, TOTAL_SHARDS_KEY, DataRequestListProto, EndpointsProto
from jina.runtime.answers import read_many, serialise
from jina.runtime.connections import ConnectionSettings, MakePeer, OpenChannel
from jina.runtime.fast_lane import Finish, begin_task
from jina.runtime.gateway import GatewayService
from jina.runtime.group import Group, Metadata
from jina.runtime.polling import PollingPlan
from jina.runtime.shard_group import FAILURES, ShardGroup
from jina.runtime.waiting_room import WaitingRoom
from jina.runtime.walker import State, merge_states

_SHARED: Final = (
    'retries',
    'timeout_send',
    'timeout_ctrl',
    'compression',
    'grpc_channel_options',
    'reload',
    'log_config',
    'quiet',
    'quiet_error',
)


class HeadService(GatewayService):
    """Shares requests out to shards and joins their results. Make it inside a running event loop.

    Args:
        options: Options with the role HEAD: the addresses of the shards, their polling, and how to talk to them.
        logger: Logger of the process; by default one is made from the options.
        open_channel: Gives the channel to an address; None, or for None, it is connected as usual.
        make_peer: Makes replicas that are watched, see ``ConnectionSettings``.

    Raises:
        ConfigError: An address is invalid.
    """

    _role = 'Head'

    def __init__(
        self,
        options: ExecutorOptions,
        *,
        logger: JinaLogger | None = None,
        open_channel: OpenChannel | None = None,
        make_peer: MakePeer | None = None,
    ) -> None:
        self._head_options = options
        self._deployment = options.name or 'executor'
        self._shards: ShardGroup | None = None
        super().__init__(_graph_options(options), logger=logger, open_channel=open_channel, make_peer=make_peer)
        self.name = options.runtime_name

    def _make_group(self, name: str, options: GatewayOptions, settings: ConnectionSettings) -> Group:
        if name != self._deployment:
            return super()._make_group(name, options, settings)
        own = self._head_options
        metadata = options.deployments_metadata.get(name)
        connect = partial(self._connect, settings=settings, metadata=metadata, deployment=name)
        shards = [
            connect(f'{name}/shard-{number}', addresses)
            for number, addresses in enumerate(shard_addresses(own.connection_list or {}))
        ]
        joiner = connect(f'{name}/uses_after', [own.uses_after_address]) if own.uses_after_address else None
        self._shards = ShardGroup(name, shards, PollingPlan(own.polling), joiner=joiner)
        return self._shards

    def _patient(self, group: Group) -> Group:
        return group.patient() if isinstance(group, ShardGroup) else super()._patient(group)

    @property
    def waiting_rooms(self) -> list[WaitingRoom]:
        """Where requests wait that came by ``waiting``."""
        return [*super().waiting_rooms, *(self._shards.rooms if self._shards is not None else ())]

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of the endpoints, in the form that an Executor gives, for whom a gateway takes the head."""
        await self._directory.wait()
        return self._directory.proto(as_executor=True)

    async def reconnect(self, name: str, addresses: Any, grace: float) -> None:
        """Changes the replicas of the shards. Those that leave get no new requests and answer those they have.

        Args:
            name: Name of the Deployment.
            addresses: For each shard, one address per replica.
            grace: Seconds to wait for the answers of replicas that leave.

        Raises:
            MissingDeploymentError: It is the head of another Deployment.
        """
        if self._shards is None or name != self._deployment:
            raise MissingDeploymentError(f'{self.name} has no deployment {name!r}')
        await self._shards.update(addresses, grace)
        self.logger.info('deployment %s has the addresses %s', name, ', '.join(self._shards.addresses))

    def count_shards(self, raw: bytes, *, many: bool) -> Callable[[bool], Metadata]:
        """Counts the shards that work on the next request of this context.

        Args:
            raw: The serialised request.
            many: It is a list of requests.

        Returns:
            Gives the metadata behind the response: how many were asked, and how many failed; none behind a refusal of bytes
            that are no request.
        """
        failures: list[int] = []
        FAILURES.set(failures)
        try:
            request = next(iter(read_many(raw)), None) if many else DataRequest.from_bytes(raw)
        except RequestTypeError:  # which answers the request, too
            return lambda failed: ()
        assert self._shards is not None
        asked = self._shards.count_asked(request.exec_endpoint if request is not None else '')

        def trailing(failed: bool) -> Metadata:
            return (
                (TOTAL_SHARDS_KEY, str(asked)),
                (FAILED_SHARDS_KEY, str(failures[-1] if failures else int(failed))),
            )

        return trailing

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request, or a list of requests, see ``GatewayService.begin``."""
        if not many:
            return super().begin(raw, finish, metadata=metadata, timeout=timeout)
        return begin_task(self._serialised(raw, metadata, timeout), finish)

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches with one response.

        With ``no_reduce`` the first Executors behind the head get them one by one; otherwise documents are merged by id.

        Args:
            requests: One request per branch, with the branch's Deployment as the last route.
            metadata: Metadata of the caller; trace context in it is sent on to Executors.
            timeout: Seconds that the caller still waits; None for no limit.

        Raises:
            TransportError: An Executor can't be reached, or takes too long.
        """
        if len(requests) < 2 or not self._head_options.no_reduce:
            merged = merge_states([State(request) for request in requests]).request if requests else DataRequest()
            return await self.process(merged, metadata=metadata, timeout=timeout)
        failed = next((request for request in requests if request.is_error), None)
        if failed is not None:
            return failed
        try:
            visit = self._walker.visit(requests[0], metadata, timeout)
        except InputError as error:
            requests[0].add_exception(error)
            return requests[0]
        states: Sequence[State] = [State(request) for request in requests]
        for step in self._walker.steps:
            if len(states) > 1 and self._walker.concerns(step, visit):
                raw = DataRequestListProto(requests=[state.request.proto for state in states]).SerializeToString()
                answer = await self._walker.groups[step.index].process(
                    raw, visit.endpoint, metadata=visit.metadata, timeout=visit.time_left(), many=True
                )
                states = [self._walker.arrived(step, answer, visit)]
            elif len(states) == 1:
                states = [await self._walker.take(step, states, visit)]
        return self._walker.complete(merge_states(states), visit)

    async def _serialised(
        self, raw: Payload, metadata: Sequence[tuple[str, str]], timeout: float | None
    ) -> tuple[Payload, bool]:
        return serialise(await self.process_many(read_many(raw), metadata=metadata, timeout=timeout))


def _graph_options(options: ExecutorOptions) -> GatewayOptions:
    """The head as a gateway: a chain of the Executor of ``uses_before``, if there is one, and the shards."""
    name = options.name or 'executor'
    before = f'{name}/uses_before'
    addresses = {name: ['shards']}
    nodes = [Node(name)]
    if options.uses_before_address:
        addresses[before] = [options.uses_before_address]
        nodes = [Node(before), Node(name, (before,))]
    metadata = options.grpc_metadata if isinstance(options, DeploymentOptions) else None
    return GatewayOptions.model_construct(
        **{key: getattr(options, key) for key in _SHARED},
        name=name,
        pod_role=PodRoleType.HEAD,
        graph_description=Topology(nodes).description(),
        deployments_addresses=addresses,
        deployments_metadata={name: metadata} if metadata else {},
    )
