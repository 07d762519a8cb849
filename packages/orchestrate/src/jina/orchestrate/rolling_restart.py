"""Replacing the processes of replicas one after another while requests are answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jina.core.errors import JinaError, MissingDeploymentError, NotStartedError, NotSupportedError
from jina.orchestrate.container_plan import ContainerPlan
from jina.orchestrate.lifecycle import CLOSE_GRACE_S
from jina.orchestrate.pod import Pod, close_pods, wait_ready
from jina.orchestrate.scaling import check_fronts, tell
from jina.orchestrate.server import referenced_classes

if TYPE_CHECKING:
    from jina.core.config import DeploymentOptions
    from jina.orchestrate.deployment import Deployment


class DeploymentRestartMixin:
    """``restart`` of a Deployment."""

    def restart(self, *, grace: float = CLOSE_GRACE_S) -> None:
        """Replace the processes of all replicas by fresh ones, one after another, while requests are answered.

        A new process starts first. As soon as it is ready, after ``__init__`` and ``warm_up``, it gets the requests of the one that it
        replaces, which answers those it has and is closed. No request is lost. A replica whose port or monitoring port is fixed is
        replaced twice: another process stands in for it until the port is free. Gateway, head, ``uses_before`` and ``uses_after`` stay.

        Args:
            grace: Seconds that each process which leaves has for its last requests.

        Raises:
            NotStartedError: The Deployment doesn't run.
            NotSupportedError: It is external, or clients call its replicas themselves.
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
        """Replace the processes of Executors by fresh ones, one after another, see ``Deployment.restart``.

        Args:
            name: Name of the Executor; by default all are restarted, in the order of the Flow, except external ones.
            grace: Seconds that each process which leaves has for its last requests.

        Raises:
            MissingDeploymentError: There is no such Executor.
            NotStartedError: The Flow doesn't run.
            NotSupportedError: The Executor is external.
            StartupError: A new process failed to start; the one that it was to replace goes on.
        """
        flow: Any = self
        if name is not None:
            self._named(name).restart(grace=grace)
            return
        if not flow.num_pods:
            raise NotStartedError(f'{flow._title()} is not started', hint='call restart() while it runs')
        for _, deployment in flow:
            if not deployment.external:
                deployment.restart(grace=grace)

    async def async_restart(self, name: str | None = None, *, grace: float = CLOSE_GRACE_S) -> None:
        """The same as ``restart``, without blocking the event loop."""
        await asyncio.to_thread(self.restart, name, grace=grace)

    def _named(self, name: str) -> Deployment:
        flow: Any = self
        if name not in flow:
            names = ', '.join(repr(known) for known, _ in flow)
            raise MissingDeploymentError(f'{flow._title()} has no Executor {name!r}', hint=f'it has {names or "none"}')
        found: Deployment = flow[name]
        return found


def _restart(deployment: Deployment, grace: float) -> None:
    if deployment.external:
        raise NotSupportedError(f'Deployment {deployment.name!r} is external', hint='restart it where it was started')
    if not deployment.num_pods:
        raise NotStartedError(f'Deployment {deployment.name!r} is not started', hint='call restart() while it runs')
    fronts = deployment.told_of_replicas()
    if not fronts or deployment.is_called_itself:
        raise NotSupportedError(
            f'clients of Deployment {deployment.name!r} call its replicas themselves, and would lose their connections',
            hint='start it with replicas=2 and without include_gateway=False, or in a Flow',
        )
    check_fronts(deployment, fronts)
    for number in range(deployment.options.replicas):
        before = [shard[number] for shard in deployment._shards]
        options = [_options_of(deployment, pod) for pod in before]
        if any(_has_fixed_ports(option) for option in options):
            free: dict[str, list[int]] = {'port': [], 'port_monitoring': []}
            _replace(deployment, number, [option.model_copy(update=free) for option in options], fronts, grace)
        _replace(deployment, number, options, fronts, grace)
    deployment.logger.info('%d replicas were restarted', deployment.options.replicas)


def _options_of(deployment: Deployment, pod: Pod) -> DeploymentOptions:
    given = pod.arguments[0]
    options: Any = given.options if isinstance(given, ContainerPlan) else given
    return options.model_copy(update={'replicas': deployment.options.replicas})  # type: ignore[no-any-return]


def _has_fixed_ports(options: DeploymentOptions) -> bool:
    return any(options.port) or any(options.port_monitoring)


def _replace(
    deployment: Deployment, number: int, options: Sequence[DeploymentOptions], fronts: Sequence[Pod], grace: float
) -> None:
    """Put new processes in the places of the replicas of a number, one for each shard."""
    classes = referenced_classes(deployment.options)
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
