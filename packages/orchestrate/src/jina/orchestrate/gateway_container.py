"""The gateway of a Flow as a container: what it can have, and whether it reaches the Executors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jina.core.config import GatewayOptions, PodAddress, refuse_container_options
from jina.core.errors import ConfigError
from jina.orchestrate.container import container_pod
from jina.orchestrate.container_network import ContainerNetwork, is_loopback
from jina.orchestrate.container_plan import ContainerPlan, image_of
from jina.orchestrate.pod import Pod

if TYPE_CHECKING:
    import logging

    from jina.orchestrate.deployment import Deployment


def gateway_network(options: GatewayOptions, deployments: Sequence[Deployment]) -> ContainerNetwork | None:
    """Checks what a Flow wants of its gateway's container, before anything is started.

    Args:
        options: Options of the gateway.
        deployments: The Deployments that it calls.

    Returns:
        The network of the container; None if the gateway is a process.

    Raises:
        ConfigError: A process is asked for what only containers have, a container for what it can't have, or it can't reach a
            Deployment.
    """
    if image_of(options.uses) is None:
        refuse_container_options(options)
        return None
    if options.replicas > 1:
        raise ConfigError(
            f'the gateway is a container, and replicas is {options.replicas}: its port can not be shared',
            hint='leave it out, or give a class instead of an image',
        )
    plan = ContainerPlan.make(options)
    if not plan.network.is_of_machine:
        for deployment in deployments:
            _check_reachable(deployment, plan.network)
    return plan.network


def _check_reachable(deployment: Deployment, network: ContainerNetwork) -> None:
    options = deployment.options
    if deployment.external:
        return
    in_container = image_of(options.uses) is not None and not options.needs_head
    if in_container:
        other = ContainerNetwork.of(options)
        if not other.is_of_machine and other != network:
            raise ConfigError(
                f'the gateway is a container in the network {network.name}, and {deployment.name} in {other.name}',
                hint='give both the same network in docker_kwargs',
            )
    listens = not in_container or any(options.port)
    if listens and is_loopback(options.host[0]) and sys.platform == 'linux':
        raise ConfigError(
            f'{deployment.name} listens on {options.host[0]}, which the container of the gateway can not reach',
            hint="leave out its host, or give the gateway force_network_mode='HOST'",
        )


def gateway_container(
    options: GatewayOptions,
    *,
    owner: str,
    logger: logging.Logger,
    again: Callable[[list[PodAddress]], GatewayOptions],
) -> Pod:
    """Returns the pod of the gateway's container, which isn't started yet.

    Args:
        options: Options of the gateway, with the graph and the addresses of the Executors.
        owner: Who the pod belongs to, as messages name it.
        logger: Where an unexpected end is reported.
        again: Gives the options of a container that takes its place, from its addresses.
    """
    plan = ContainerPlan.make(options)
    return container_pod(plan, owner=owner, logger=logger, again=lambda addresses: plan.with_options(again(addresses)))


def is_container(pod: Pod) -> bool:
    """Tells whether a pod is a container, which takes no commands."""
    return isinstance(pod.arguments[0], ContainerPlan)
