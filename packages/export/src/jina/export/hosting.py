"""What the ``jcloud`` sections of a Flow's YAML ask of a hosting service, for those who host the Flow in a cluster of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jina.core.errors import ConfigError
from jina.export.kubernetes import Autoscale

__all__ = ['hosting_settings']

_SECTION: Final = 'jcloud'
_TIERS: Final = {
    'C1': ('100m', '0.2G'),
    'C2': ('500m', '1G'),
    'C3': ('1', '2G'),
    'C4': ('2', '4G'),
    'C5': ('4', '8G'),
    'C6': ('8', '16G'),
    'C7': ('16', '32G'),
    'C8': ('32', '64G'),
}
"""Cores and memory of the documented instances without a GPU."""
_GPUS: Final = {'G1': 1, 'G2': 1, 'G3': 2, 'G4': 4}
_NOT_LABELS: Final = ('user', 'jina-version')


def hosting_settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``resources``, ``autoscale`` and ``labels`` for ``KubernetesSettings``.

    Args:
        document: The YAML of a Flow or Deployment.

    Raises:
        ConfigError: An instance isn't known, or replicas can't be added by the metric.
    """
    resources: dict[str, dict[str, Any]] = {}
    autoscale: dict[str, Autoscale] = {}
    for name, section in _sections(document):
        wanted = section.get('resources') or {}
        if wanted:
            resources[name] = _resources(name, wanted)
        if section.get('autoscale'):
            autoscale[name] = _autoscale(name, section['autoscale'])
    labels = ((document.get(_SECTION) or {}).get('labels')) or {}
    return {
        'resources': resources,
        'autoscale': autoscale,
        'labels': {str(key): str(value) for key, value in labels.items() if key not in _NOT_LABELS},
    }


def _sections(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    gateway = document.get('gateway') or {}
    if gateway.get(_SECTION):
        yield 'gateway', gateway[_SECTION]
    entries = document.get('executors') or document.get('deployments') or []
    for number, entry in enumerate(entries):
        if isinstance(entry, Mapping) and entry.get(_SECTION):
            yield str(entry.get('name') or f'executor{number}'), entry[_SECTION]
    if document.get('jtype') == 'Deployment' and document.get(_SECTION):
        yield str((document.get('with') or {}).get('name') or 'executor'), document[_SECTION]


def _resources(name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    instance = wanted.get('instance')
    if instance is not None and instance not in (*_TIERS, *_GPUS):
        known = ', '.join((*_TIERS, *_GPUS))
        raise ConfigError(f'{_SECTION} of {name!r} asks for the instance {instance!r}', hint=f'choose one of {known}')
    cpu, memory = _TIERS.get(str(instance), (None, None))
    requests = {'cpu': wanted.get('cpu', cpu), 'memory': wanted.get('memory', memory)}
    found: dict[str, Any] = {'requests': {key: str(value) for key, value in requests.items() if value is not None}}
    if requests['memory'] is not None:
        found['limits'] = {'memory': str(requests['memory'])}
    if instance in _GPUS:
        found.setdefault('limits', {})['nvidia.com/gpu'] = _GPUS[str(instance)]
    return {key: value for key, value in found.items() if value}


def _autoscale(name: str, wanted: Mapping[str, Any]) -> Autoscale:
    metric = wanted.get('metric', 'concurrency')
    if metric not in ('cpu', 'memory'):
        raise ConfigError(
            f'{_SECTION} of {name!r} adds replicas by {metric!r}, which Kubernetes does not know by itself',
            hint='write metric: cpu or metric: memory with a target in percent, or leave autoscale out',
        )
    return Autoscale(int(wanted.get('min', 1)) or 1, int(wanted.get('max', 2)), metric, int(wanted.get('target', 80)))
