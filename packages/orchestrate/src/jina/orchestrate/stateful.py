"""What a Deployment does differently for a stateful Executor, whose replicas know each other."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jina.core.config import peer_ports_of
from jina.core.environment import random_port_range
from jina.core.errors import JinaError, StartupError
from jina.orchestrate.pod import Pod, close_pods, wait_ready
from jina.orchestrate.scaling import tell
from jina.orchestrate.server import referenced_classes

if TYPE_CHECKING:
    from jina.core.config import DeploymentOptions
    from jina.orchestrate.deployment import Deployment

_HOST = '127.0.0.1'
_OUTSIDE_EPHEMERAL = (20_000, 32_000)


def choose_peers(options: DeploymentOptions) -> list[list[str]]:
    """Returns the addresses at which the replicas of each shard reach each other; nothing if they aren't stateful."""
    if not options.stateful:
        return []
    shards = peer_ports_of(options) or _free_ports(options.shards, options.replicas)
    return [[f'{_HOST}:{port}' for port in ports] for ports in shards]


def _free_ports(shards: int, replicas: int) -> list[list[int]]:
    """Ports that stay free while a replica is restarted: none of those that systems give to outgoing connections."""
    low, high = random_port_range() or _OUTSIDE_EPHEMERAL
    candidates = random.sample(range(low, high + 1), high + 1 - low)
    taken: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in candidates:
            holder = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                holder.bind((_HOST, port))
                taken.append(port)
            if len(taken) == shards * replicas:
                return [taken[shard * replicas : (shard + 1) * replicas] for shard in range(shards)]
    raise StartupError(
        f'there are no {shards * replicas} free ports from {low} to {high} for replicas', hint='give peer_ports'
    )


def replace_stateful(deployment: Deployment, number: int, options: Sequence[DeploymentOptions], grace: float) -> None:
    """Put new processes in the places of the stateful replicas of a number, one for each shard.

    The old ones end first: the new ones go on with their logs and at their addresses. Meanwhile the other replicas answer.

    Raises:
        LifecycleError: The process in front of the replicas can't be told; nothing has changed then.
        StartupError: A new process failed to start; the other replicas go on without it.
    """
    fronts = deployment.told_of_replicas()
    before = [shard[number] for shard in deployment._shards]
    started: list[Pod] = []
    _take_out(deployment, number)
    try:
        tell(deployment, fronts, grace)
    except BaseException:
        _put_in(deployment, number, before)
        with contextlib.suppress(JinaError):  # some may have left them out already
            tell(deployment, fronts, 0.0)
        raise
    close_pods(before, grace)
    try:
        classes = referenced_classes(deployment.options)
        for option in options:
            started.append(deployment.launch_replica(option, classes))
            deployment._joining.append(started[-1])  # closed with the Deployment, should it be closed meanwhile
        wait_ready(started, deployment.ready_timeout)
    except BaseException:
        close_pods(started, grace)
        _put_in(deployment, number, before)
        raise
    _put_in(deployment, number, started)
    tell(deployment, fronts, grace)


def _take_out(deployment: Deployment, number: int) -> None:
    """Leaves the replicas of a number out of those that get requests; they are still closed with the Deployment."""
    deployment._joining = [shard.pop(number) for shard in deployment._shards]


def _put_in(deployment: Deployment, number: int, pods: Sequence[Pod]) -> None:
    for shard, pod in zip(deployment._shards, pods, strict=True):
        shard.insert(number, pod)
    deployment._joining = []
