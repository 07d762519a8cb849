"""Kubernetes: manifests for every process of a Flow or Deployment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from jina.core.config import DeploymentOptions
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError
from jina.export.workloads import EXECUTOR_PORT, Platform, Workload, workloads
from jina.export.yaml_text import to_yaml

__all__ = ['Autoscale', 'KubernetesSettings', 'export_kubernetes', 'manifests']

Manifest: TypeAlias = 'dict[str, Any]'
GRACE_S: Final = 30
"""Seconds that a pod has at least, from when it is to stop until it is killed."""
PRE_STOP_S: Final = 5
"""Seconds in which a pod that is to stop still answers: until everybody knows that it leaves."""
CLOSE_S: Final = 10
"""Seconds that ``close`` of an Executor has beside the time for requests in flight."""
_USER: Final = 1000
_NAME: Final = re.compile(r'[a-z0-9]([-a-z0-9]*[a-z0-9])?')
_LONGEST_NAME: Final = 63
_STORAGE: Final = '5Gi'


@dataclass(frozen=True)
class Autoscale:
    """When Kubernetes adds and removes replicas.

    Attributes:
        minimum: Least number of replicas.
        maximum: Greatest number.
        metric: ``cpu`` or ``memory``.
        target: Percentage of the requested resource that is aimed at.
    """

    minimum: int = 1
    maximum: int = 2
    metric: Literal['cpu', 'memory'] = 'cpu'
    target: int = 80


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
        scrape: How Prometheus finds processes with ``monitoring``. ``service-monitor``: by ServiceMonitors, which its
            operator reads. ``annotations``: by ``prometheus.io/...`` of pods, which common scrape configurations read, so
            that the cluster needs no operator. ``none``: by what you write yourself.
        resources: Requests and limits by name of the Deployment (or ``gateway``), as Kubernetes writes them.
        autoscale: Rules by name of the Deployment or ``gateway``.
        labels: More labels of all objects.
    """

    namespace: str = 'default'
    mesh: bool = True
    balance: Literal['client', 'mesh'] = 'client'
    nonroot: bool = False
    disruption_budget: bool = True
    scrape: Literal['service-monitor', 'annotations', 'none'] = 'service-monitor'
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    autoscale: Mapping[str, Autoscale] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


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
        ConfigError: A name isn't one that Kubernetes takes.
    """
    scheme = 'dns://' if settings.balance == 'client' else ''
    platform = Platform(
        address=lambda name: f'{scheme}{name}.{settings.namespace}.svc:{EXECUTOR_PORT}',
        splits_replicas=False,
        namespace=settings.namespace,
    )
    in_folders = hasattr(subject, 'gateway_options')
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
        ConfigError: A name isn't one that Kubernetes takes.
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
    autoscale = _autoscale(workload, settings)
    if autoscale is not None:
        objects.append(_autoscaler(workload, settings, autoscale))
    least = workload.replicas if autoscale is None else autoscale.minimum
    if settings.disruption_budget and least > 1:  # with a single one, its node could never be drained
        objects.append(_budget(workload, settings))
    if settings.scrape == 'service-monitor' and workload.metrics_port is not None:
        objects.append(_monitor(workload, settings))
    return objects


def _autoscale(workload: Workload, settings: KubernetesSettings) -> Autoscale | None:
    return settings.autoscale.get(workload.deployment) if workload.role != 'head' else None


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
        'app.kubernetes.io/name': workload.name,
        'app.kubernetes.io/component': workload.role,
        'app.kubernetes.io/part-of': 'jina',
        **settings.labels,
    }
    return {'name': workload.name, 'namespace': settings.namespace, 'labels': labels}


def _selector(workload: Workload) -> dict[str, str]:
    return {'app': workload.name}


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
    """A Deployment; of an Executor that keeps files, a StatefulSet with a volume for each replica."""
    volumes = _volumes(workload)
    metadata = _metadata(workload, settings)
    template_metadata: dict[str, Any] = {'labels': metadata['labels']}
    if annotations := _annotations(workload, settings):
        template_metadata['annotations'] = annotations
    spec: dict[str, Any] = {
        'replicas': workload.replicas,
        'selector': {'matchLabels': _selector(workload)},
        'template': {'metadata': template_metadata, 'spec': _pod(workload, settings, volumes)},
    }
    if _autoscale(workload, settings) is not None:
        del spec['replicas']  # the autoscaler's: a number here would come back each time that the file is applied
    kind = 'StatefulSet' if volumes else 'Deployment'
    if volumes:
        spec['serviceName'] = workload.name
        spec['volumeClaimTemplates'] = [_claim(name) for name in volumes]
    else:
        spec['strategy'] = {'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 1, 'maxUnavailable': 0}}
    return {'apiVersion': 'apps/v1', 'kind': kind, 'metadata': metadata, 'spec': spec}


def _volumes(workload: Workload) -> dict[str, str]:
    """The path of each volume in the container, by its name."""
    source = workload.source
    if workload.role != 'executor' or not isinstance(source, DeploymentOptions):
        return {}
    found: dict[str, str] = {}
    for number, volume in enumerate(source.volumes or ()):
        path = volume.rpartition(':')[2]
        found[f'volume-{number}'] = path if path.startswith('/') else f'/{path}'
    return found


def _claim(name: str) -> dict[str, Any]:
    return {
        'metadata': {'name': name},
        'spec': {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': _STORAGE}}},
    }


def _pod(workload: Workload, settings: KubernetesSettings, volumes: Mapping[str, str]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        'terminationGracePeriodSeconds': max(
            GRACE_S, math.ceil(PRE_STOP_S + workload.source.graceful_shutdown_s + CLOSE_S)
        ),
        'containers': [_container(workload, settings, volumes)],
    }
    if workload.source.image_pull_secrets:
        spec['imagePullSecrets'] = [{'name': name} for name in workload.source.image_pull_secrets]
    if settings.nonroot:
        spec['securityContext'] = {
            'runAsNonRoot': True,
            'runAsUser': _USER,
            'fsGroup': _USER,
            'seccompProfile': {'type': 'RuntimeDefault'},
        }
    return spec


def _container(workload: Workload, settings: KubernetesSettings, volumes: Mapping[str, str]) -> dict[str, Any]:
    source = workload.source
    ports = [{'name': _port_name(protocol), 'containerPort': port} for protocol, port in workload.ports.items()]
    if workload.metrics_port is not None:
        ports.append({'name': 'metrics', 'containerPort': workload.metrics_port})
    container: dict[str, Any] = {
        'name': workload.role if workload.role != 'executor' else 'executor',
        'image': workload.image,
        'imagePullPolicy': 'IfNotPresent',
        'command': [source.entrypoint or 'jina'],
        # Kubernetes fills in $(NAME)
        'args': [argument.replace('$(', '$$(') for argument in workload.arguments],
        'ports': ports,
        'env': _environment(workload),
        'startupProbe': {**_check(workload), 'periodSeconds': 2, 'failureThreshold': _start_tries(workload)},
        'readinessProbe': {**_check(workload), 'periodSeconds': 5, 'timeoutSeconds': 5},
        'livenessProbe': {**_check(workload), 'periodSeconds': 10, 'timeoutSeconds': 10, 'failureThreshold': 6},
        # whoever still sends to a pod that leaves is answered
        'lifecycle': {'preStop': {'exec': {'command': ['python', '-c', f'import time; time.sleep({PRE_STOP_S})']}}},
    }
    resources = {key: dict(value) for key, value in settings.resources.get(workload.deployment, {}).items()}
    if isinstance(source, DeploymentOptions) and workload.role == 'executor' and source.gpus:
        limits = resources.setdefault('limits', {})
        limits['nvidia.com/gpu'] = _gpu_count(source.gpus)
    if resources:
        container['resources'] = resources
    if volumes:
        container['volumeMounts'] = [{'name': name, 'mountPath': path} for name, path in volumes.items()]
    if settings.nonroot:
        container['securityContext'] = {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}}
    return container


def _gpu_count(gpus: str) -> int:
    if gpus.isdecimal():
        return int(gpus)
    raise ConfigError(
        f'gpus is {gpus!r}, and Kubernetes gives a container a number of GPUs',
        hint='write the number, for example gpus="1"',
    )


def _environment(workload: Workload) -> list[dict[str, Any]]:
    source = workload.source
    plain = [{'name': str(name), 'value': str(value)} for name, value in (source.env or {}).items()]
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
    return [*plain, *secret, place, space]


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
    target = {'type': 'Utilization', 'averageUtilization': rule.target}
    kind = 'StatefulSet' if _volumes(workload) else 'Deployment'
    return {
        'apiVersion': 'autoscaling/v2',
        'kind': 'HorizontalPodAutoscaler',
        'metadata': _metadata(workload, settings),
        'spec': {
            'scaleTargetRef': {'apiVersion': 'apps/v1', 'kind': kind, 'name': workload.name},
            'minReplicas': rule.minimum,
            'maxReplicas': rule.maximum,
            'metrics': [{'type': 'Resource', 'resource': {'name': rule.metric, 'target': target}}],
        },
    }


def _budget(workload: Workload, settings: KubernetesSettings) -> Manifest:
    return {
        'apiVersion': 'policy/v1',
        'kind': 'PodDisruptionBudget',
        'metadata': _metadata(workload, settings),
        'spec': {'minAvailable': 1, 'selector': {'matchLabels': _selector(workload)}},
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
