"""Kubernetes: manifests for every process of a Flow or Deployment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from jina.core.enums import ProtocolType
from jina.core.environment import log_level
from jina.core.errors import ConfigError
from jina.core.scaling import SCALING_METRICS, ScalingMetric
from jina.export.disks import WORKSPACE, Disk, Storage, claim, disks
from jina.export.peers import (
    INDEX_ARGUMENTS,
    INDEX_VARIABLE,
    affinity,
    majority,
    peer_address,
    peers_name,
    service_spec,
)
from jina.export.workloads import EXECUTOR_PORT, Platform, Workload, workloads
from jina.export.yaml_text import to_yaml

__all__ = ['Autoscale', 'KubernetesSettings', 'export_kubernetes', 'manifests']

Manifest: TypeAlias = 'dict[str, Any]'
_PRE_STOP_S: Final = 12
"""Gateways look names up every five seconds, and name servers of clusters repeat an answer for five seconds more."""
_CLOSE_S: Final = 14
"""Seconds that ``close`` of an Executor has beside the time for requests in flight."""
_USER: Final = 1000
_NAME: Final = re.compile(r'[a-z0-9]([-a-z0-9]*[a-z0-9])?')
_LONGEST_NAME: Final = 63
_WORKSPACE_VARIABLE: Final = 'JINA_DEFAULT_WORKSPACE_BASE'


@dataclass(frozen=True)
class Autoscale:
    """When Kubernetes adds and removes replicas.

    Attributes:
        minimum: Least number of replicas.
        maximum: Greatest number.
        metric: ``cpu``, ``memory``, ``concurrency`` or ``rps``. The last two are metrics of the processes themselves: they have
            ``monitoring`` then, and the cluster needs Prometheus and Prometheus Adapter.
        target: What a replica should have on average: percent of the CPU that it requests, mebibytes of memory, requests under
            way, or requests a second.
        scale_down_s: Seconds in which less is needed before replicas go; None leaves that to Kubernetes, which waits for 300.
    """

    minimum: int = 1
    maximum: int = 2
    metric: Literal['cpu', 'memory'] | ScalingMetric = 'cpu'
    target: int = 80
    scale_down_s: int | None = None


@dataclass(frozen=True)
class KubernetesSettings:
    """What manifests contain beside the documented minimum.

    Attributes:
        namespace: Namespace of the objects; ``default`` if none is given.
        mesh: Annotate pods for Linkerd, as the original does.
        balance: ``client``: headless Services, whose replicas gateways look up and share requests out to by themselves.
            ``mesh``: one address for each Service, and a service mesh that shares out.
        nonroot: Run containers as an ordinary user without any privilege.
        disruption_budget: Keep at least one replica while nodes are drained, where there are several.
        pre_stop_s: Seconds in which a pod that is to stop still answers: until every gateway knows that it leaves, and for
            requests that take longer than the four seconds which a process has for its last ones.
        scrape: How Prometheus finds processes with ``monitoring``. ``service-monitor``: by ServiceMonitors, which its
            operator reads. ``annotations``: by ``prometheus.io/...`` of pods, which common scrape configurations read, so
            that the cluster needs no operator. ``none``: by what you write yourself.
        resources: Requests and limits by name of the Deployment (or ``gateway``), as Kubernetes writes them.
        storage: Disks by name of the Deployment.
        autoscale: Rules by name of the Deployment or ``gateway``.
        availability: What stays while nodes are drained, by name: ``minAvailable`` or ``maxUnavailable`` with a number.
        labels: More labels of all objects.
        labels_of: More labels of the objects of single Deployments or the ``gateway``, by name.
    """

    namespace: str = 'default'
    mesh: bool = True
    balance: Literal['client', 'mesh'] = 'client'
    nonroot: bool = False
    disruption_budget: bool = True
    pre_stop_s: int = _PRE_STOP_S
    scrape: Literal['service-monitor', 'annotations', 'none'] = 'service-monitor'
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    storage: Mapping[str, Storage] = field(default_factory=dict)
    autoscale: Mapping[str, Autoscale] = field(default_factory=dict)
    availability: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    labels_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def manifests(subject: Any, settings: KubernetesSettings) -> dict[str, list[Manifest]]:
    """The objects of a Flow or Deployment.

    Args:
        subject: The Flow or Deployment. All its Executors are images (``docker://``) or external.
        settings: What the objects contain.

    Returns:
        The objects by the path of their file, without its suffix: ``<Deployment>/<workload>`` of a Flow, the
        name of the workload for a Deployment alone.

    Raises:
        ContainerError: An Executor isn't a container image.
        ConfigError: A name isn't one that Kubernetes takes, or a setting is wrong.
    """
    if settings.pre_stop_s < 0:
        raise ConfigError(f'pre_stop_s is {settings.pre_stop_s}', hint='0 or more seconds are possible')
    scheme = 'dns://' if settings.balance == 'client' else ''
    platform = Platform(
        address=lambda name: f'{scheme}{name}.{settings.namespace}.svc:{EXECUTOR_PORT}',
        splits_replicas=False,
        peer=lambda name, number: peer_address(name, number, settings.namespace),
        takes_ports=False,
        namespace=settings.namespace,
        observed=frozenset(name for name, rule in settings.autoscale.items() if rule.metric in SCALING_METRICS),
    )
    in_folders = hasattr(subject, 'topology')  # a Flow
    found: dict[str, list[Manifest]] = {}
    for workload in workloads(subject, platform):
        _check_name(workload.name)
        path = f'{workload.deployment}/{workload.name}' if in_folders else workload.name
        found[path] = _objects(workload, settings)
    return found


def export_kubernetes(
    subject: Any,
    outpath: str | os.PathLike[str],
    *,
    k8s_namespace: str | None = None,
    settings: KubernetesSettings | None = None,
    kustomize: bool = False,
) -> list[Path]:
    """Writes the manifests.

    Args:
        subject: See :func:`manifests`.
        outpath: The folder; it is made if it isn't there. Files of the same names are replaced.
        k8s_namespace: Namespace of the objects.
        settings: What the objects contain.
        kustomize: Write a ``kustomization.yaml`` that lists the files, as a base for overlays.

    Returns:
        The files.

    Raises:
        ContainerError: An Executor isn't a container image.
        ConfigError: A name isn't one that Kubernetes takes, or a setting is wrong.
    """
    chosen = settings or KubernetesSettings()
    if k8s_namespace:
        chosen = KubernetesSettings(**{**vars(chosen), 'namespace': k8s_namespace})
    folder = Path(outpath)
    written: list[Path] = []
    for path, objects in manifests(subject, chosen).items():
        file = folder / f'{path}.yml'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(to_yaml(objects))
        written.append(file)
    if kustomize:
        file = folder / 'kustomization.yaml'
        resources = sorted(str(one.relative_to(folder)) for one in written)
        document = {
            'apiVersion': 'kustomize.config.k8s.io/v1beta1',
            'kind': 'Kustomization',
            'namespace': chosen.namespace,
            'resources': resources,
        }
        file.write_text(to_yaml([document]))
        written.append(file)
    return written


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f'{name!r} can not be the name of an object in Kubernetes',
            hint='use lower-case letters, digits and -, at most 63 of them, and give names to all Executors',
        )


def _objects(workload: Workload, settings: KubernetesSettings) -> list[Manifest]:
    objects = [_service(workload, settings), _controller(workload, settings)]
    if _has_state(workload):
        name = peers_name(workload.name)
        _check_name(name)
        metadata = {**_metadata(workload, settings), 'name': name}
        spec = service_spec(_selector(workload))
        objects.append({'apiVersion': 'v1', 'kind': 'Service', 'metadata': metadata, 'spec': spec})
    for disk in _disks(workload, settings):
        if disk.claim:
            metadata = {**_metadata(workload, settings), 'name': disk.claim}
            objects.append({'apiVersion': 'v1', 'kind': 'PersistentVolumeClaim', **claim(metadata, disk)})
    autoscale = _autoscale(workload, settings)
    if autoscale is not None:
        objects.append(_autoscaler(workload, settings, autoscale))
    availability = _availability(workload, settings, autoscale)
    if availability:
        objects.append(_budget(workload, settings, availability))
    if settings.scrape == 'service-monitor' and workload.metrics_port is not None:
        objects.append(_monitor(workload, settings))
    return objects


def _availability(workload: Workload, settings: KubernetesSettings, autoscale: Autoscale | None) -> Mapping[str, int]:
    """What has to stay while nodes are drained; nothing if that is a single replica, whose node could never be drained."""
    least = workload.replicas if autoscale is None else autoscale.minimum
    given = settings.availability.get(workload.deployment) if _is_own(workload) else None
    if given is None:
        kept = majority(least) if _has_state(workload) else 1
        return {'minAvailable': kept} if settings.disruption_budget and least > 1 else {}
    if set(given) - {'minAvailable', 'maxUnavailable'} or len(given) != 1 or not 0 <= min(given.values()) < least:
        raise ConfigError(
            f'availability of {workload.deployment!r} is {dict(given)!r}, with {least} replicas',
            hint='give minAvailable or maxUnavailable a number less than that of the replicas',
        )
    return given


def _is_own(workload: Workload) -> bool:
    """Whether it is what the settings of its Deployment are for, and not what stands around its shards."""
    around = (f'{workload.deployment}-uses-before', f'{workload.deployment}-uses-after')
    return workload.role != 'head' and workload.name not in around


def _has_state(workload: Workload) -> bool:
    return workload.peer_port is not None


def _autoscale(workload: Workload, settings: KubernetesSettings) -> Autoscale | None:
    rule = settings.autoscale.get(workload.deployment) if _is_own(workload) else None
    if rule is not None and _has_state(workload):
        raise ConfigError(
            f'autoscale of {workload.deployment!r} is given, and it is stateful: the majority of a fixed number decides',
            hint='leave one of both out',
        )
    return rule


def _annotations(workload: Workload, settings: KubernetesSettings) -> dict[str, str]:
    """What a pod tells Linkerd and Prometheus."""
    port = None if workload.metrics_port is None else str(workload.metrics_port)
    found: dict[str, str] = {}
    if settings.mesh:
        found['linkerd.io/inject'] = 'enabled'
        if port is not None:
            found['config.linkerd.io/skip-inbound-ports'] = port
    if settings.scrape == 'annotations' and port is not None:
        found |= {'prometheus.io/scrape': 'true', 'prometheus.io/port': port, 'prometheus.io/path': '/metrics'}
    return found


def _metadata(workload: Workload, settings: KubernetesSettings) -> dict[str, Any]:
    labels = {
        'app': workload.name,
        'app.kubernetes.io/component': workload.role,
        'app.kubernetes.io/part-of': 'jina',
        **settings.labels,
        **settings.labels_of.get(workload.deployment, {}),
        **_selector(workload),
    }
    return {'name': workload.name, 'namespace': settings.namespace, 'labels': labels}


def _selector(workload: Workload) -> dict[str, str]:
    return {'app.kubernetes.io/name': workload.name}


def _port_name(protocol: ProtocolType) -> str:
    return str(protocol).lower()


def _service(workload: Workload, settings: KubernetesSettings) -> Manifest:
    ports = [
        {'name': _port_name(protocol), 'port': port, 'targetPort': port, 'protocol': 'TCP'}
        for protocol, port in workload.ports.items()
    ]
    if workload.metrics_port is not None:
        ports.append(
            {'name': 'metrics', 'port': workload.metrics_port, 'targetPort': workload.metrics_port, 'protocol': 'TCP'}
        )
    spec: dict[str, Any] = {'type': 'ClusterIP', 'selector': _selector(workload), 'ports': ports}
    if settings.balance == 'client' and _is_called_by_us(workload):
        # its name stands for the addresses of all replicas that are ready
        spec['clusterIP'] = 'None'
    return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': _metadata(workload, settings), 'spec': spec}


def _is_called_by_us(workload: Workload) -> bool:
    """Whether a gateway or a head calls it; what clients call needs one address."""
    return (
        workload.role != 'gateway'
        and list(workload.ports) == [ProtocolType.GRPC]
        and workload.ports[ProtocolType.GRPC] == EXECUTOR_PORT
    )


def _controller(workload: Workload, settings: KubernetesSettings) -> Manifest:
    """A Deployment; of what keeps files, a StatefulSet with a volume for each replica."""
    mounted = _disks(workload, settings)
    own = [disk for disk in mounted if not disk.claim]
    metadata = _metadata(workload, settings)
    template_metadata: dict[str, Any] = {'labels': metadata['labels']}
    if annotations := _annotations(workload, settings):
        template_metadata['annotations'] = annotations
    spec: dict[str, Any] = {
        'replicas': workload.replicas,
        'selector': {'matchLabels': _selector(workload)},
        'template': {'metadata': template_metadata, 'spec': _pod(workload, settings, mounted)},
    }
    if _autoscale(workload, settings) is not None:
        del spec['replicas']  # the autoscaler's: a number here would come back each time that the file is applied
    if _has_state(workload):
        spec['podManagementPolicy'] = 'Parallel'  # none is ready before a majority is there
        spec['updateStrategy'] = {'type': 'RollingUpdate'}  # one by one
    if own:
        spec['serviceName'] = peers_name(workload.name) if _has_state(workload) else workload.name
        spec['volumeClaimTemplates'] = [claim({'name': disk.name}, disk) for disk in own]
        if not all(disk.retain for disk in own):
            spec['persistentVolumeClaimRetentionPolicy'] = {'whenDeleted': 'Delete', 'whenScaled': 'Retain'}
    else:
        spec['strategy'] = {'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 1, 'maxUnavailable': 0}}
    return {'apiVersion': 'apps/v1', 'kind': _kind(mounted), 'metadata': metadata, 'spec': spec}


def _disks(workload: Workload, settings: KubernetesSettings) -> list[Disk]:
    return disks(workload, settings.storage.get(workload.deployment) if _is_own(workload) else None)


def _mount(disk: Disk) -> dict[str, Any]:
    mount: dict[str, Any] = {'name': disk.name, 'mountPath': disk.path}
    return {**mount, 'readOnly': True} if disk.read_only else mount


def _kind(mounted: Sequence[Disk]) -> str:
    return 'StatefulSet' if any(not disk.claim for disk in mounted) else 'Deployment'


def _pod(workload: Workload, settings: KubernetesSettings, mounted: Sequence[Disk]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        'terminationGracePeriodSeconds': settings.pre_stop_s
        + math.ceil(workload.source.graceful_shutdown_s)
        + _CLOSE_S,
        'containers': [_container(workload, settings, mounted)],
    }
    if workload.source.image_pull_secrets:
        spec['imagePullSecrets'] = [{'name': name} for name in workload.source.image_pull_secrets]
    security: dict[str, Any] = {}
    if settings.nonroot:
        security |= {'runAsNonRoot': True, 'runAsUser': _USER, 'seccompProfile': {'type': 'RuntimeDefault'}}
    if settings.nonroot or mounted:  # images run as this user, whom new disks do not let in
        security['fsGroup'] = _USER
    if security:
        spec['securityContext'] = security
    if _has_state(workload):
        spec['affinity'] = affinity(_selector(workload))
    if shared := [disk for disk in mounted if disk.claim]:
        spec['volumes'] = [{'name': disk.name, 'persistentVolumeClaim': {'claimName': disk.claim}} for disk in shared]
    return spec


def _container(workload: Workload, settings: KubernetesSettings, mounted: Sequence[Disk]) -> dict[str, Any]:
    source = workload.source
    ports = [{'name': _port_name(protocol), 'containerPort': port} for protocol, port in workload.ports.items()]
    if workload.metrics_port is not None:
        ports.append({'name': 'metrics', 'containerPort': workload.metrics_port})
    if workload.peer_port is not None:
        ports.append({'name': 'peers', 'containerPort': workload.peer_port})
    container: dict[str, Any] = {
        'name': workload.role if workload.role != 'executor' else 'executor',
        'image': workload.image,
        'imagePullPolicy': 'IfNotPresent',
        'command': list(workload.program),
        'args': _arguments(workload, mounted),
        'ports': ports,
        'env': _environment(workload, mounted),
        'startupProbe': {**_check(workload), 'periodSeconds': 2, 'failureThreshold': _start_tries(workload)},
        'readinessProbe': {**_check(workload), 'periodSeconds': 5, 'timeoutSeconds': 5},
        'livenessProbe': {**_check(workload), 'periodSeconds': 10, 'timeoutSeconds': 10, 'failureThreshold': 6},
        # whoever still sends to a pod that leaves is answered
        'lifecycle': {'preStop': {'exec': {'command': _sleep(settings.pre_stop_s)}}},
    }
    given = settings.resources.get(workload.deployment, {}) if _is_own(workload) else {}
    resources = {key: dict(value) for key, value in given.items()}
    if workload.has_volumes and source.gpus:
        limits = resources.setdefault('limits', {})
        limits['nvidia.com/gpu'] = _gpu_count(source.gpus)
    if resources:
        container['resources'] = resources
    if mounted:
        container['volumeMounts'] = [_mount(disk) for disk in mounted]
    if settings.nonroot:
        container['securityContext'] = {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}}
    return container


def _arguments(workload: Workload, mounted: Sequence[Disk]) -> list[str]:
    given = [argument.replace('$(', '$$(') for argument in workload.arguments]  # Kubernetes fills in $(NAME)
    if not _has_state(workload):
        return given
    # the workspace of an Executor's own YAML would win over the variable, and lie outside of the disk
    kept = ('--workspace', WORKSPACE) if any(disk.path == WORKSPACE for disk in mounted) else ()
    return [*given, *INDEX_ARGUMENTS, *kept]


def _sleep(seconds: int) -> list[str]:
    return ['python', '-c', f'import time; time.sleep({seconds})']  # which every image has


def _gpu_count(gpus: str) -> int:
    if gpus.isdecimal():
        return int(gpus)
    raise ConfigError(
        f'gpus is {gpus!r}, and Kubernetes gives a container a number of GPUs',
        hint='write the number, for example gpus="1"',
    )


def _environment(workload: Workload, mounted: Sequence[Disk]) -> list[dict[str, Any]]:
    source = workload.source
    given = {_WORKSPACE_VARIABLE: WORKSPACE} if any(disk.path == WORKSPACE for disk in mounted) else {}
    given |= {str(name): str(value) for name, value in (source.env or {}).items()}
    if (level := log_level()) is not None and 'JINA_LOG_LEVEL' not in (source.env_from_secret or {}):
        given.setdefault('JINA_LOG_LEVEL', level)
    plain = [{'name': name, 'value': value} for name, value in given.items()]
    secret = []
    for name, entry in (source.env_from_secret or {}).items():
        if not isinstance(entry, Mapping) or set(entry) != {'name', 'key'}:
            raise ConfigError(
                f'env_from_secret gives {name} the value {entry!r}',
                hint='write {"VARIABLE": {"name": "<secret>", "key": "<entry of the secret>"}}',
            )
        secret.append({'name': name, 'valueFrom': {'secretKeyRef': {'name': entry['name'], 'key': entry['key']}}})
    # the address of the pod tells the processes of one Deployment apart in traces
    place = {'name': 'K8S_POD_NAME', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}
    space = {'name': 'K8S_NAMESPACE_NAME', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.namespace'}}}
    return [*plain, *secret, place, space, *([INDEX_VARIABLE] if _has_state(workload) else [])]


def _check(workload: Workload) -> dict[str, Any]:
    """The health check of the first protocol, which Kubernetes does by itself."""
    protocol, port = next(iter(workload.ports.items()))
    if protocol is ProtocolType.GRPC:
        return {'grpc': {'port': port}}
    return {'httpGet': {'path': '/', 'port': port}}


def _start_tries(workload: Workload) -> int:
    limit = workload.source.timeout_ready
    return max(1, (limit if limit > 0 else 3_600_000) // 2000)


def _autoscaler(workload: Workload, settings: KubernetesSettings, rule: Autoscale) -> Manifest:
    kind = _kind(_disks(workload, settings))
    found: Manifest = {
        'apiVersion': 'autoscaling/v2',
        'kind': 'HorizontalPodAutoscaler',
        'metadata': _metadata(workload, settings),
        'spec': {
            'scaleTargetRef': {'apiVersion': 'apps/v1', 'kind': kind, 'name': workload.name},
            'minReplicas': rule.minimum,
            'maxReplicas': rule.maximum,
            'metrics': [_scaled_by(rule)],
        },
    }
    if rule.scale_down_s is not None:
        found['spec']['behavior'] = {'scaleDown': {'stabilizationWindowSeconds': rule.scale_down_s}}
    return found


def _scaled_by(rule: Autoscale) -> dict[str, Any]:
    """The metric of the autoscaler, and what each pod should have of it."""
    if rule.metric in ('concurrency', 'rps'):
        target = {'type': 'AverageValue', 'averageValue': str(rule.target)}
        return {'type': 'Pods', 'pods': {'metric': {'name': SCALING_METRICS[rule.metric]}, 'target': target}}
    wanted: dict[str, Any] = {'type': 'Utilization', 'averageUtilization': rule.target}
    if rule.metric == 'memory':
        wanted = {'type': 'AverageValue', 'averageValue': f'{rule.target}Mi'}
    return {'type': 'Resource', 'resource': {'name': rule.metric, 'target': wanted}}


def _budget(workload: Workload, settings: KubernetesSettings, availability: Mapping[str, int]) -> Manifest:
    return {
        'apiVersion': 'policy/v1',
        'kind': 'PodDisruptionBudget',
        'metadata': _metadata(workload, settings),
        'spec': {**availability, 'selector': {'matchLabels': _selector(workload)}},
    }


def _monitor(workload: Workload, settings: KubernetesSettings) -> Manifest:
    return {
        'apiVersion': 'monitoring.coreos.com/v1',
        'kind': 'ServiceMonitor',
        'metadata': _metadata(workload, settings),
        'spec': {
            'selector': {'matchLabels': _selector(workload)},
            'endpoints': [{'port': 'metrics', 'interval': '15s'}],
        },
    }
