"""Deployment and Flow: local processes of the jina serving framework."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jina.orchestrate.deployment import Deployment
    from jina.orchestrate.flow import Flow
    from jina.orchestrate.testing import AsyncTestClient, TestClient

__all__ = ['AsyncTestClient', 'Deployment', 'Flow', 'TestClient']

_HOMES = {'AsyncTestClient': 'testing', 'Deployment': 'deployment', 'Flow': 'flow', 'TestClient': 'testing'}


def __getattr__(name: str) -> object:
    # Loaded on first use: the zygote imports this package and must not pay for the client
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
    globals()[name] = value
    return value
