"""Adding and removing replicas of a Deployment that runs, with no request lost."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jina.core.errors import ConfigError, JinaError, LifecycleError, NotStartedError, NotSupportedError
from jina.orchestrate.gateway_container import is_container
from jina.orchestrate.lifecycle import CLOSE_GRACE_S
from jina.orchestrate.pod import Pod, close_pods, wait_ready
from jina.orchestrate.pod_options import with_ports
from jina.orchestrate.server import referenced_classes
from jina.orchestrate.takeover import ANSWER_MARGIN_S, leave

if TYPE_CHECKING:
    from jina.core.config import DeploymentOptions
    from jina.orchestrate.deployment import Deployment


class ScalingMixin:
    """``scale`` of a Deployment."""

    def scale(self, replicas: int, *, grace: float = CLOSE_GRACE_S) -> None:
        """Change the number of replicas while the Deployment runs; of each shard, if there are several.

        New replicas get requests as soon as they are ready, that is, after ``__init__`` and ``warm_up``. Replicas that leave,
        those with the highest numbers, get no new requests, answer those they have, and are closed. No request is lost.
        With ``include_gateway=False``, where clients have connections to the replicas themselves, those to replicas that leave end, and
        clients connect to another one. It returns when all of that is done. ``runtime_args.replicas`` of Executors that run already
        stays as it was.

        Args:
            replicas: How many there are to be, at least one.
            grace: Seconds that replicas which leave have for their last requests.

        Raises:
            ConfigError: ``replicas`` is no number of replicas.
            NotStartedError: The Deployment doesn't run.
            NotSupportedError: It is external or stateful, or the gateway in front a container.
            StartupError: A new replica failed to start; the others go on as before.
            LifecycleError: The process in front of the replicas can't be told.
        """
        deployment: Any = self
        with deployment._scale_lock:
            _scale(deployment, _checked(replicas), grace)

    async def async_scale(self, replicas: int, *, grace: float = CLOSE_GRACE_S) -> None:
        """The same as ``scale``, without blocking the event loop."""
        await asyncio.to_thread(self.scale, replicas, grace=grace)


class FlowScalingMixin:
    """``scale`` of a Flow."""

    def scale(self, name: str, replicas: int, *, grace: float = CLOSE_GRACE_S) -> None:
        """Change the number of replicas of an Executor while the Flow runs, see ``Deployment.scale``.

        Args:
            name: Name of the Executor.
            replicas: How many there are to be, at least one.
            grace: Seconds that replicas which leave have for their last requests.

        Raises:
            MissingDeploymentError: There is no such Executor.
            ConfigError: ``replicas`` is no number of replicas.
            NotStartedError: The Flow doesn't run.
            NotSupportedError: The Executor is external, or the gateway a container.
            StartupError: A new replica failed to start; the others go on as before.
        """
        flow: Any = self
        flow._named(name).scale(replicas, grace=grace)

    async def async_scale(self, name: str, replicas: int, *, grace: float = CLOSE_GRACE_S) -> None:
        """The same as ``scale``, without blocking the event loop."""
        await asyncio.to_thread(self.scale, name, replicas, grace=grace)


def _checked(replicas: Any) -> int:
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
        raise ConfigError(f'scale(replicas={replicas!r})', hint='give the number of replicas, at least 1')
    return replicas


def _scale(deployment: Deployment, replicas: int, grace: float) -> None:
    if deployment.external:
        raise NotSupportedError(
            f'Deployment {deployment.name!r} is external',
            hint='scale it where it was started, or add its new addresses',
        )
    if not deployment.num_pods:
        raise NotStartedError(f'Deployment {deployment.name!r} is not started', hint='call scale() while it runs')
    if deployment.options.stateful:
        raise NotSupportedError(
            f'Deployment {deployment.name!r} is stateful, and its replicas decide by majority: their number is fixed',
            hint='start another one with more replicas and a workspace of its own, and send it the writes again',
        )
    before = deployment.options.replicas
    if replicas == before:
        return
    fronts = deployment.told_of_replicas()
    check_fronts(deployment, fronts)
    if replicas > before:
        _grow(deployment, range(before, replicas), fronts, grace)
    else:
        _shrink(deployment, replicas, fronts, grace)
    deployment.logger.info('%d replicas instead of %d', replicas, before)


def _grow(deployment: Deployment, numbers: range, fronts: Sequence[Pod], grace: float) -> None:
    options = deployment.options
    more = options.model_copy(update={'replicas': numbers.stop})
    classes = referenced_classes(options)
    added: list[list[Pod]] = []
    try:
        deployment.options = more
        for shard in range(options.shards):
            pods: list[Pod] = []
            added.append(pods)
            for option in _new_options(deployment, shard, numbers):
                pods.append(deployment.launch_replica(option, classes))
                deployment._joining.append(pods[-1])  # closed with the Deployment, should it be closed meanwhile
        wait_ready(deployment._joining, deployment.ready_timeout)
        for pods, shard_pods in zip(added, deployment._shards, strict=True):
            shard_pods.extend(pods)
        deployment._joining = []
        tell(deployment, fronts, grace)
    except BaseException:
        deployment.options = options
        failed = [pod for pods in added for pod in pods]
        for shard_pods in deployment._shards:
            shard_pods[:] = [pod for pod in shard_pods if pod not in failed]
        deployment._joining = []
        with contextlib.suppress(JinaError):  # some may know of the new ones already
            tell(deployment, fronts, 0.0)
        close_pods(failed, grace)
        raise


def _new_options(deployment: Deployment, shard: int, numbers: range) -> list[DeploymentOptions]:
    """Options of replicas that join those that run, at their port if they listen on the public one themselves."""
    found = deployment.replica_options(shard, numbers)
    return [with_ports(option, deployment.public_addresses) for option in found] if deployment.shares_port else found


def _shrink(deployment: Deployment, replicas: int, fronts: Sequence[Pod], grace: float) -> None:
    leaving = [pod for shard in deployment._shards for pod in shard[replicas:]]
    before = [list(shard) for shard in deployment._shards]
    for shard in deployment._shards:
        del shard[replicas:]
    try:
        tell(deployment, fronts, grace)
    except BaseException:
        deployment._shards[:] = before
        raise
    deployment.options = deployment.options.model_copy(update={'replicas': replicas})
    if deployment.shares_port:
        leave(leaving, grace)
    else:
        close_pods(leaving, grace)


def check_fronts(deployment: Deployment, fronts: Sequence[Pod]) -> None:
    """Check that the processes in front of the replicas can be told of others.

    Raises:
        NotSupportedError: One is a container.
    """
    if any(is_container(front) for front in fronts):
        raise NotSupportedError(
            f'the gateway in front of {deployment.name!r} is a container, which can not be told of other replicas',
            hint='start the Flow again with the replicas that it needs, or give the gateway as a class',
        )


def tell(deployment: Deployment, fronts: Sequence[Pod], grace: float) -> None:
    """Have the processes in front of the replicas use those that there are now, and wait until they do."""
    told(fronts, deployment.news_of_replicas(), grace)


def told(fronts: Sequence[Pod], news: Mapping[str, Any], grace: float) -> None:
    """Give a command to processes, and wait until they have done it.

    Raises:
        LifecycleError: One of them doesn't answer in time.
    """
    answers = [front.command(**news, grace=grace) for front in fronts]
    done, late = concurrent.futures.wait(answers, grace + ANSWER_MARGIN_S)
    for answer in done:
        answer.result()
    if late:
        names = ', '.join(front.name for front in fronts)
        raise LifecycleError(f'{names}: no answer after {grace + ANSWER_MARGIN_S:g} seconds')
