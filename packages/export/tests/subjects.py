"""Flows and Deployments as exporters see them, without the distribution that runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jina.core.config import DeploymentOptions, GatewayOptions, build
from jina.core.topology import GATEWAY, Node, Topology


@dataclass
class Deployed:
    """What exporters use of a Deployment."""

    options: DeploymentOptions

    @property
    def name(self) -> str:
        return self.options.name or 'executor'

    @property
    def external(self) -> bool:
        return self.options.external


def deployment(**options: Any) -> Deployed:
    return Deployed(build(DeploymentOptions, options))


@dataclass
class Chain:
    """What exporters use of a Flow; its Executors follow each other."""

    deployments: list[Deployed]
    gateway_options: GatewayOptions = field(default_factory=GatewayOptions)

    @property
    def topology(self) -> Topology:
        names = [GATEWAY, *(one.name for one in self.deployments)]
        return Topology(
            Node(one.name, needs=(before,), when=one.options.when, no_reduce=one.options.no_reduce)
            for before, one in zip(names, self.deployments, strict=False)
        )


def chain(*deployments: Deployed, **gateway: Any) -> Chain:
    return Chain(list(deployments), build(GatewayOptions, gateway))
