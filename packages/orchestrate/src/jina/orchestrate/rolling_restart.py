"""Replacing the processes of Deployments and Flows one after another while requests are answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jina.core.errors import JinaError, MissingDeploymentError, NotStartedError, NotSupportedError
from jina.core.topology import GATEWAY
from jina.orchestrate.container_plan import ContainerPlan
from jina.orchestrate.gateway_container import is_container
from jina.orchestrate.lifecycle import CLOSE_GRACE_S, FLOATING_GRACE_S
from jina.orchestrate.pod import Pod, close_pods, wait_ready
from jina.orchestrate.pod_options import around_options, with_ports
from jina.orchestrate.scaling import check_fronts, tell, told
from jina.orchestrate.server import referenced_classes
from jina.orchestrate.stateful import replace_stateful
from jina.orchestrate.takeover import take_over

if TYPE_CHECKING:
    from jina.core.config import DeploymentOptions
    from jina.orchestrate.deployment import Deployment


class DeploymentRestartMixin:
    """``restart`` of a Deployment."""

    def restart(self, *, grace: float = CLOSE_GRACE_S) -> None:
        """Replace all processes by fresh ones, one after another, while requests are answered.

        A new process starts first. As soon as it is ready, after ``__init__`` and ``warm_up``, it gets the requests of the one that it
        replaces, which answers those it has and is closed. No request is lost. First come the replicas, then the processes of
        ``uses_before`` and ``uses_after`` with the head, then the gateway. A process that clients call themselves is replaced by one
        that listens on the same ports. A replica whose port or monitoring port is fixed and that is behind another process is replaced
        twice: another process stands in for it until the port is free. A stateful replica ends before the new one starts, which goes on
        with its log; the other replicas answer meanwhile.

        Args:
            grace: Seconds that each process which leaves has for its last requests.

        Raises:
            NotStartedError: The Deployment doesn't run.
            NotSupportedError: It is external, or processes can't share ports on this system.
            StartupError: A new process failed to start. The one that it was to replace goes on; those replaced before stay replaced.
            LifecycleError: The process in front of the replicas can't be told.
        """
        deployment: Any = self
        with deployment._scale_lock:
            _restart(deployment, grace)

    async def async_restart(self, *, grace: float = CLOSE_GRACE_S) -> None:
        """The same as ``restart``, without blocking the event loop."""
        await asyncio.to_thread(self.restart, grace=grace)


class FlowRestartMixin:
    """``restart`` of a Flow."""

    def restart(self, name: str | None = None, *, grace: float = CLOSE_GRACE_S) -> None:
        """Replace processes by fresh ones, one after another, while requests are answered, see ``Deployment.restart``.

        Args:
            name: Name of an Executor, or ``gateway``; by default all are restarted, in the order of the Flow, except external ones, and
                then the gateway.
            grace: Seconds that each process which leaves has for its last requests.

        Raises:
            MissingDeploymentError: There is no such Executor.
            NotStartedError: The Flow doesn't run.
            NotSupportedError: The Executor is external, or the gateway can't share its ports.
            StartupError: A new process failed to start; the one that it was to replace goes on.
        """
        flow: Any = self
        if name is not None and name != GATEWAY:
            self._named(name).restart(grace=grace)
            return
        if not flow.num_pods:
            raise NotStartedError(f'{flow._title()} is not started', hint='call restart() while it runs')
        _check_gateways(flow)
        if name is None:
            for _, deployment in flow:
                if not deployment.external:
                    deployment.restart(grace=grace)
        self._restart_gateways(grace)

    async def async_restart(self, name: str | None = None, *, grace: float = CLOSE_GRACE_S) -> None:
        """The same as ``restart``, without blocking the event loop."""
        await asyncio.to_thread(self.restart, name, grace=grace)

    def _restart_gateways(self, grace: float) -> None:
        flow: Any = self
        with contextlib.ExitStack() as stack:
            stack.enter_context(flow._scale_lock)
            for _, deployment in flow:  # a new gateway must not miss a change
                stack.enter_context(deployment._scale_lock)
            try:
                for number in range(len(flow._gateways)):
                    _restart_gateway(flow, number, grace)
            finally:
                flow._joining = []
        flow.logger.info('%d gateways were restarted', len(flow._gateways))

    def _named(self, name: str) -> Deployment:
        flow: Any = self
        if name not in flow:
            names = ', '.join(repr(known) for known, _ in flow)
            raise MissingDeploymentError(f'{flow._title()} has no Executor {name!r}', hint=f'it has {names or "none"}')
        found: Deployment = flow[name]
        return found


def _check_gateways(flow: Any) -> None:
    if any(is_container(gateway) for gateway in flow._gateways):
        raise NotSupportedError(
            f'the gateway of {flow._title()} is a container, whose port can not be shared with the one that takes its place',
            hint='start the Flow again, or give the gateway as a class',
        )


def _restart_gateway(flow: Any, number: int, grace: float) -> None:
    floats = any(node.floating for node in flow.topology.nodes)
    first: Pod = flow._gateways[number]
    for options in _steps(flow._gateway_again(first.arguments[0], first.addresses)):
        take_over(
            flow._gateways[number],
            _launched(flow, partial(flow._launch_gateway, options.joining())),
            partial(flow._put_gateway, number),
            limit=None if options.timeout_ready < 0 else options.timeout_ready / 1000,
            grace=grace,
            end_grace=FLOATING_GRACE_S if floats else None,
        )


def _restart(deployment: Deployment, grace: float) -> None:
    if deployment.external:
        raise NotSupportedError(f'Deployment {deployment.name!r} is external', hint='restart it where it was started')
    if not deployment.num_pods:
        raise NotStartedError(f'Deployment {deployment.name!r} is not started', hint='call restart() while it runs')
    check_fronts(deployment, [*deployment.told_of_replicas(), *deployment.gateways()])
    for number in range(deployment.options.replicas):
        if deployment.is_called_itself and (deployment.shares_port or number == 0):
            _replace_public(deployment, number, grace)
            continue
        options = [_options_of(deployment, shard[number]) for shard in deployment._shards]
        if deployment.options.stateful:
            replace_stateful(deployment, number, options, grace)
            continue
        for step in zip(*map(_replica_steps, options), strict=True):
            _replace(deployment, number, step, grace)
    if deployment._head is not None:
        _replace_head(deployment, deployment._head, grace)
    if deployment._gateway is not None:
        _replace_gateway(deployment, deployment._gateway, grace)
    deployment.logger.info('%d replicas were restarted', deployment.options.replicas)


def _options_of(deployment: Deployment, pod: Pod) -> DeploymentOptions:
    given = pod.arguments[0]
    options: Any = given.options if isinstance(given, ContainerPlan) else given
    return options.model_copy(update={'replicas': deployment.options.replicas})  # type: ignore[no-any-return]


def _steps(options: Any) -> list[Any]:
    """The options of the processes that take over one after another: one more if the monitoring port has to become free."""
    return [options.model_copy(update={'port_monitoring': []}), options] if any(options.port_monitoring) else [options]


def _replica_steps(options: DeploymentOptions) -> list[DeploymentOptions]:
    """The same for a process behind others, whose port has to become free too."""
    if any(options.port) or any(options.port_monitoring):
        return [options.model_copy(update={'port': [], 'port_monitoring': []}), options]
    return [options]


def _launched(owner: Any, launch: Callable[[], Pod]) -> Callable[[], Pod]:
    """Starts a process that is closed with its owner, should that one be closed before the process is in its place."""

    def start() -> Pod:
        pod = launch()
        owner._joining = [*owner._joining, pod]
        return pod

    return start


def _replace(deployment: Deployment, number: int, options: Sequence[DeploymentOptions], grace: float) -> None:
    """Put new processes in the places of the replicas of a number, one for each shard."""
    classes = referenced_classes(deployment.options)
    fronts = deployment.told_of_replicas()
    before = [shard[number] for shard in deployment._shards]
    started: list[Pod] = []
    try:
        for option in options:
            started.append(deployment.launch_replica(option, classes))
            deployment._joining.append(started[-1])  # closed with the Deployment, should it be closed meanwhile
        wait_ready(started, deployment.ready_timeout)
        _put(deployment, number, started)
        deployment._joining = []
        tell(deployment, fronts, grace)
    except BaseException:
        _put(deployment, number, before)
        deployment._joining = []
        with contextlib.suppress(JinaError):  # some may know of the new ones already
            tell(deployment, fronts, 0.0)
        close_pods(started, grace)
        raise
    close_pods(before, grace)


def _put(deployment: Deployment, number: int, pods: Sequence[Pod]) -> None:
    for shard, pod in zip(deployment._shards, pods, strict=True):
        shard[number] = pod


def _replace_public(deployment: Deployment, number: int, grace: float) -> None:
    """Put a new process in the place of a replica that clients call themselves."""
    classes = referenced_classes(deployment.options)
    first = deployment._shards[0][number]
    shares_out = not deployment.shares_port and deployment.options.replicas > 1

    def put(pod: Pod) -> None:
        if shares_out:
            tell(deployment, [pod], 0.0)
        _put(deployment, number, [pod])
        deployment._joining = []

    for options in _steps(with_ports(_options_of(deployment, first), first.addresses)):
        launch = _launched(deployment, partial(deployment.launch_replica, options.joining(), classes))
        _take_over(deployment, deployment._shards[0][number], launch, put, grace)


def _take_over(
    deployment: Deployment, old: Pod, launch: Callable[[], Pod], put: Callable[[Pod], object], grace: float
) -> None:
    try:
        take_over(old, launch, put, limit=deployment.ready_timeout, grace=grace)
    finally:
        deployment._joining = []


def _replace_gateway(deployment: Deployment, old: Pod, grace: float) -> None:
    """Put a new gateway in the place of that in front of the replicas."""
    options = with_ports(deployment.gateway_options(), old.addresses).joining()

    def put(pod: Pod) -> None:
        deployment._gateway = pod

    launch = _launched(deployment, partial(deployment.launch_gateway, options))
    _take_over(deployment, old, launch, put, grace)


def _replace_head(deployment: Deployment, old: Pod, grace: float) -> None:
    """Put a new head and new processes of ``uses_before`` and ``uses_after`` in the places of those that there are."""
    old_around = dict(deployment._around)
    around: dict[str, Pod] = {}
    try:
        for option in around_options(deployment.options):
            around[option.around] = deployment.launch_replica(option, referenced_classes(option))
            deployment._joining.append(around[option.around])
        wait_ready(list(around.values()), deployment.ready_timeout)
        deployment._around, deployment._joining = around, list(old_around.values())
        if deployment.is_public:
            _take_over_head(deployment, old, grace)
        else:
            for options in _replica_steps(deployment.head_options()):
                _switch_head(deployment, options, grace)
    except BaseException:
        if deployment._head is old:
            deployment._around = old_around
            close_pods(list(around.values()), grace)
        raise
    finally:
        deployment._joining = []
        if deployment._head is not old:
            close_pods(list(old_around.values()), grace)


def _take_over_head(deployment: Deployment, old: Pod, grace: float) -> None:
    """Replace a head that clients call themselves."""
    leaving = list(deployment._joining)

    def put(pod: Pod) -> None:
        deployment._head, deployment._joining = pod, leaving

    for options in _steps(with_ports(deployment.head_options(), old.addresses)):
        launch = _launched(deployment, partial(deployment.launch_head_of, options.joining()))
        before = deployment._head
        assert before is not None
        take_over(before, launch, put, limit=deployment.ready_timeout, grace=grace)


def _switch_head(deployment: Deployment, options: DeploymentOptions, grace: float) -> None:
    """Replace a head behind the gateway of a Flow."""
    before, fronts, leaving = deployment._head, deployment.gateways(), list(deployment._joining)
    assert before is not None
    head = _launched(deployment, partial(deployment.launch_head_of, options))()
    try:
        wait_ready([head], deployment.ready_timeout)
        deployment._head, deployment._joining = head, leaving
        told(fronts, deployment.news_of_entry(), grace)
    except BaseException:
        deployment._head, deployment._joining = before, leaving
        with contextlib.suppress(JinaError):  # some may know of the new one already
            told(fronts, deployment.news_of_entry(), 0.0)
        close_pods([head], grace)
        raise
    close_pods([before], grace)
