"""What the ``jcloud`` sections of a Flow's YAML ask of a hosting service, for those who host the Flow in a cluster of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jina.core.errors import ConfigError
from jina.core.scaling import SCALING_METRICS
from jina.export.disks import Storage
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
_STORAGE: Final = ('ephemeral', 'ebs', 'efs')
_STORAGE_SIZE: Final = '5G'
_METRICS: Final = (*SCALING_METRICS, 'cpu', 'memory')
_AVAILABILITY: Final = ('minAvailable', 'maxUnavailable')
_DURATION: Final = re.compile(r'(\d+)([smh])')
_SECONDS: Final = {'s': 1, 'm': 60, 'h': 3600}
_LABEL: Final = re.compile(r'[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?')
_NOT_LABELS: Final = ('user', 'jina-version')


def hosting_settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings for ``KubernetesSettings``: resources, storage, autoscaling, labels and availability.

    Args:
        document: The YAML of a Flow or Deployment.

    Raises:
        ConfigError: A value isn't known, or Kubernetes has nothing like it.
    """
    found: dict[str, dict[str, Any]] = {
        'resources': {},
        'storage': {},
        'autoscale': {},
        'availability': {},
        'labels_of': {},
        'labels': _labels('the Flow', document.get(_SECTION) or {}),
    }
    for name, section in _sections(document):
        wanted = section.get('resources') or {}
        values: dict[str, Any] = {
            'resources': _resources(name, wanted),
            'storage': _storage(name, wanted.get('storage')),
            'autoscale': _autoscale(name, section.get('autoscale')),
            'availability': {key: int(section[key]) for key in _AVAILABILITY if section.get(key) is not None},
            'labels_of': _labels(repr(name), section) if document.get('jtype') != 'Deployment' else {},
        }
        if section.get('autoscale') and values['autoscale'].metric == 'cpu':  # a percentage of nothing is unknown
            values['resources'].setdefault('requests', {}).setdefault('cpu', _TIERS['C1'][0])
        for key, value in values.items():
            if value:
                found[key][name] = value
    return found


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


def _storage(name: str, wanted: Mapping[str, Any] | None) -> Storage | None:
    """Disks that last; ``ephemeral`` is what every container has."""
    if not wanted:
        return None
    kind = wanted.get('kind', 'ephemeral')
    if kind not in _STORAGE:
        raise ConfigError(
            f'{_SECTION} of {name!r} asks for storage of the kind {kind!r}', hint=f'choose one of {", ".join(_STORAGE)}'
        )
    if kind == 'ephemeral':
        return None
    return Storage(
        size=str(wanted.get('size', _STORAGE_SIZE)), shared=kind == 'efs', retain=bool(wanted.get('retain', False))
    )


def _autoscale(name: str, wanted: Mapping[str, Any] | None) -> Autoscale | None:
    if not wanted:
        return None
    metric = wanted.get('metric', 'concurrency')
    if metric not in _METRICS:
        raise ConfigError(
            f'{_SECTION} of {name!r} adds replicas by {metric!r}', hint=f'choose one of {", ".join(_METRICS)}'
        )
    return Autoscale(
        minimum=max(1, int(wanted.get('min', 1))),
        maximum=int(wanted.get('max', 2)),
        metric=metric,
        target=int(wanted.get('target', 100)),
        scale_down_s=_seconds(name, wanted.get('scale_down_delay')),
    )


def _seconds(name: str, delay: Any) -> int | None:
    if delay is None:
        return None
    found = _DURATION.fullmatch(str(delay))
    seconds = int(found[1]) * _SECONDS[found[2]] if found else -1
    if not 0 <= seconds <= 3600:
        raise ConfigError(
            f'{_SECTION} of {name!r} has the scale_down_delay {delay!r}', hint='write 0s to 1h, for example 30s or 5m'
        )
    return seconds


def _labels(who: str, section: Mapping[str, Any]) -> dict[str, str]:
    found = {str(key): str(value) for key, value in (section.get('labels') or {}).items() if key not in _NOT_LABELS}
    for word in (*found, *filter(None, found.values())):
        if not _LABEL.fullmatch(word):
            raise ConfigError(
                f'{_SECTION} of {who} has {word!r} among its labels',
                hint='use at most 63 letters, digits, -, _ and ., with a letter or digit at both ends',
            )
    return found
