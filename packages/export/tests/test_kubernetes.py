"""The Kubernetes manifests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jina.core.errors import ConfigError
from jina.export import Autoscale, KubernetesSettings, Storage, export_kubernetes, manifests

from .subjects import chain, deployment


def newest_versions() -> list[str]:
    """The two newest versions whose schemas are there."""
    latest = kubernetes_validate.latest_version()
    major, minor, *_ = latest.split('.')
    return [latest, f'{major}.{int(minor) - 1}']


def documented() -> Any:
    """The example of the documentation, with replicas and shards."""
    return chain(
        deployment(name='encoder', uses='docker://encoder', replicas=2, image_pull_secrets=['regcred']),
        deployment(name='indexer', uses='docker://indexer', shards=2, image_pull_secrets=['regcred']),
        port=8080,
        image_pull_secrets=['regcred'],
    )


def rich() -> Any:
    return chain(
        deployment(
            name='encoder',
            uses='docker://encoder',
            replicas=3,
            env={'k1': 'v1'},
            env_from_secret={'SECRET_USERNAME': {'name': 'mysecret', 'key': 'username'}},
            volumes=['/data', '/host:/models'],
            gpus='2',
            monitoring=True,
            uses_with={'path': '$(HOME)'},
        ),
        deployment(name='indexer', uses='docker://indexer', shards=2, replicas=2, uses_after='docker://after'),
        port=[8080, 8081],
        protocol=['http', 'grpc'],
        replicas=3,
        monitoring=True,
        port_monitoring=[9100],
    )


SETTINGS = KubernetesSettings(
    namespace='space',
    nonroot=True,
    resources={'encoder': {'requests': {'cpu': '1', 'memory': '2Gi'}}},
    autoscale={'encoder': Autoscale(2, 5), 'gateway': Autoscale(1, 3, 'memory', 60, scale_down_s=30)},
    labels={'team': 'search', 'app': 'fashion'},
    labels_of={'encoder': {'group': 'backend'}},
    availability={'encoder': {'maxUnavailable': 1}},
    storage={'indexer': Storage('10G', shared=True)},
)


ANNOTATED = KubernetesSettings(scrape='annotations')


@pytest.mark.parametrize('settings', [KubernetesSettings(), SETTINGS, ANNOTATED], ids=['default', 'rich', 'annotated'])
@pytest.mark.parametrize('subject', [documented, rich])
def test_every_object_fits_the_schemas_of_kubernetes(subject: Any, settings: KubernetesSettings) -> None:
    objects = [one for group in manifests(subject(), settings).values() for one in group]
    assert objects
    for one in objects:
        if one['kind'] == 'ServiceMonitor':  # of an operator, not of Kubernetes
            continue
        for version in newest_versions():
            kubernetes_validate.validate(one, version, strict=True)


def test_files_of_the_documentation(tmp_path: Path) -> None:
    export_kubernetes(documented(), tmp_path / 'k8s_flow', k8s_namespace='custom-namespace')
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob('*.yml'))
    assert files == [
        'k8s_flow/encoder/encoder.yml',
        'k8s_flow/gateway/gateway.yml',
        'k8s_flow/indexer/indexer-0.yml',
        'k8s_flow/indexer/indexer-1.yml',
        'k8s_flow/indexer/indexer-head.yml',
    ]
    (encoder,) = written(tmp_path / 'k8s_flow/encoder/encoder.yml', 'Deployment')
    assert encoder['metadata']['name'] == 'encoder'
    assert encoder['metadata']['namespace'] == 'custom-namespace'
    assert encoder['spec']['replicas'] == 2
    template = encoder['spec']['template']
    assert template['metadata']['annotations'] == {'linkerd.io/inject': 'enabled'}
    assert template['spec']['imagePullSecrets'] == [{'name': 'regcred'}]
    (container,) = template['spec']['containers']
    assert container['command'] == ['jina']
    arguments = container['args']
    assert arguments[0] == 'executor'
    for flag, value in (
        ('--name', 'encoder'),
        ('--k8s-namespace', 'custom-namespace'),
        ('--uses', 'config.yml'),
        ('--port', '8080'),
    ):
        assert arguments[arguments.index(flag) + 1] == value
    assert '--native' in arguments
    for probe in ('startupProbe', 'readinessProbe', 'livenessProbe'):
        assert container[probe]['grpc'] == {'port': 8080}
    grace = template['spec']['terminationGracePeriodSeconds']
    assert 'sleep(12)' in container['lifecycle']['preStop']['exec']['command'][-1]
    assert grace > 12 + 4  # the pause before the signal, and the time in which requests are finished after it


def written(file: Path, kind: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(file.read_text()) if one['kind'] == kind]


def test_a_deployment_is_one_file(tmp_path: Path) -> None:
    (file,) = export_kubernetes(
        deployment(port=8080, name='encoder', uses='docker://encoder'), tmp_path, k8s_namespace='space'
    )
    assert file == tmp_path / 'encoder.yml'
    assert [one['kind'] for one in yaml.safe_load_all(file.read_text())] == ['Service', 'Deployment']


def by_kind(subject: Any, path: str, settings: KubernetesSettings = SETTINGS) -> dict[str, dict[str, Any]]:
    return {one['kind']: one for one in manifests(subject, settings)[path]}


def test_replicas_are_found_by_their_name() -> None:
    objects = manifests(documented(), KubernetesSettings(namespace='space'))
    services = {path: group[0]['spec'].get('clusterIP') for path, group in objects.items()}
    assert services == {
        'gateway/gateway': None,
        'encoder/encoder': 'None',
        'indexer/indexer-head': 'None',
        'indexer/indexer-0': 'None',
        'indexer/indexer-1': 'None',
    }
    arguments = objects['gateway/gateway'][1]['spec']['template']['spec']['containers'][0]['args']
    assert arguments[arguments.index('--deployments-addresses') + 1] == (
        '{"encoder": ["dns://encoder.space.svc:8080"], "indexer": ["dns://indexer-head.space.svc:8080"]}'
    )
    meshed = manifests(documented(), KubernetesSettings(namespace='space', balance='mesh'))
    assert all('clusterIP' not in group[0]['spec'] for group in meshed.values())
    arguments = meshed['gateway/gateway'][1]['spec']['template']['spec']['containers'][0]['args']
    assert '"encoder": ["encoder.space.svc:8080"]' in arguments[arguments.index('--deployments-addresses') + 1]


def test_files_gpus_secrets_and_variables() -> None:
    found = by_kind(rich(), 'encoder/encoder')
    assert set(found) == {'Service', 'StatefulSet', 'HorizontalPodAutoscaler', 'PodDisruptionBudget', 'ServiceMonitor'}
    spec = found['StatefulSet']['spec']
    assert spec['serviceName'] == 'encoder'
    assert [claim['metadata']['name'] for claim in spec['volumeClaimTemplates']] == ['volume-0', 'volume-1']
    (container,) = spec['template']['spec']['containers']
    assert [mount['mountPath'] for mount in container['volumeMounts']] == ['/data', '/models']
    assert container['resources'] == {
        'requests': {'cpu': '1', 'memory': '2Gi'},
        'limits': {'nvidia.com/gpu': 2},
    }
    environment = {one['name']: one.get('value', one.get('valueFrom')) for one in container['env']}
    assert environment['k1'] == 'v1'
    assert environment['SECRET_USERNAME'] == {'secretKeyRef': {'name': 'mysecret', 'key': 'username'}}
    assert '{"path": "$$(HOME)"}' in container['args']  # which Kubernetes turns into $(HOME)
    assert container['securityContext']['allowPrivilegeEscalation'] is False
    assert spec['template']['spec']['securityContext']['runAsNonRoot'] is True
    assert found['HorizontalPodAutoscaler']['spec']['scaleTargetRef']['kind'] == 'StatefulSet'
    assert found['Service']['metadata']['labels']['team'] == 'search'


def test_a_gateway_with_two_protocols_and_replicas() -> None:
    assert 'PodDisruptionBudget' not in by_kind(rich(), 'gateway/gateway'), 'it may be scaled down to one'
    found = by_kind(rich(), 'gateway/gateway', KubernetesSettings())
    assert found['Deployment']['spec']['replicas'] == 3
    ports = {port['name']: port['port'] for port in found['Service']['spec']['ports']}
    assert ports == {'http': 8080, 'grpc': 8081, 'metrics': 9100}
    (container,) = found['Deployment']['spec']['template']['spec']['containers']
    assert container['readinessProbe']['httpGet'] == {'path': '/', 'port': 8080}
    assert found['PodDisruptionBudget']['spec']['minAvailable'] == 1
    assert found['ServiceMonitor']['spec']['endpoints'][0]['port'] == 'metrics'


def test_an_autoscaler_alone_sets_the_number_of_replicas() -> None:
    objects = manifests(rich(), SETTINGS)
    controllers = {path: group[1] for path, group in objects.items()}
    assert {path for path, one in controllers.items() if 'replicas' not in one['spec']} == {
        'encoder/encoder',
        'gateway/gateway',
    }


@pytest.mark.parametrize('scrape', ['service-monitor', 'annotations', 'none'])
def test_how_prometheus_finds_the_processes(scrape: Any) -> None:
    settings = KubernetesSettings(scrape=scrape, mesh=False)
    annotated, monitored = set(), set()
    for path, group in manifests(rich(), settings).items():
        annotations = group[1]['spec']['template']['metadata'].get('annotations')
        if annotations is not None:
            port = {'name': 'metrics', 'containerPort': int(annotations['prometheus.io/port'])}
            assert port in group[1]['spec']['template']['spec']['containers'][0]['ports']
            assert (annotations['prometheus.io/scrape'], annotations['prometheus.io/path']) == ('true', '/metrics')
            annotated.add(path)
        monitored |= {path for one in group if one['kind'] == 'ServiceMonitor'}
    observed = {'encoder/encoder', 'gateway/gateway'}
    assert annotated == (observed if scrape == 'annotations' else set())
    assert monitored == (observed if scrape == 'service-monitor' else set())


def test_what_stands_after_the_shards() -> None:
    objects = manifests(rich(), SETTINGS)
    assert [path for path in objects if path.startswith('indexer/')] == [
        'indexer/indexer-head',
        'indexer/indexer-uses-after',
        'indexer/indexer-0',
        'indexer/indexer-1',
    ]
    head = objects['indexer/indexer-head'][1]['spec']['template']['spec']['containers'][0]['args']
    assert head[head.index('--uses-after-address') + 1] == 'dns://indexer-uses-after.space.svc:8080'


def test_the_load_of_shards_is_limited_in_their_replicas() -> None:
    flow = chain(deployment(name='indexer', uses='docker://indexer', shards=2, max_concurrency=3, max_queue=4))
    objects = manifests(flow, SETTINGS)
    args = {
        name: objects[f'indexer/indexer-{name}'][1]['spec']['template']['spec']['containers'][0]['args']
        for name in ('head', '0', '1')
    }
    for option, value in (('--max-concurrency', '3'), ('--max-queue', '4')):
        assert option not in args['head']
        assert all(args[shard][args[shard].index(option) + 1] == value for shard in ('0', '1'))


def test_kustomize(tmp_path: Path) -> None:
    files = export_kubernetes(rich(), tmp_path, k8s_namespace='space', settings=SETTINGS, kustomize=True)
    assert files[-1] == tmp_path / 'kustomization.yaml'
    document = yaml.safe_load(files[-1].read_text())
    assert sorted(document['resources']) == sorted(str(file.relative_to(tmp_path)) for file in files[:-1])


def test_an_overlay_on_the_kustomize_base(tmp_path: Path) -> None:
    kubectl = shutil.which('kubectl')
    if kubectl is None:
        pytest.skip('needs kubectl')
    export_kubernetes(rich(), tmp_path / 'base', k8s_namespace='space', settings=SETTINGS, kustomize=True)
    overlay = {
        'apiVersion': 'kustomize.config.k8s.io/v1beta1',
        'kind': 'Kustomization',
        'resources': ['../base'],
        'images': [{'name': 'encoder', 'newName': 'registry.example/encoder', 'newTag': '2'}],
    }
    (tmp_path / 'overlay').mkdir()
    (tmp_path / 'overlay' / 'kustomization.yaml').write_text(yaml.safe_dump(overlay))
    done = subprocess.run([kubectl, 'kustomize', tmp_path / 'overlay'], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = {(one['kind'], one['metadata']['name']): one for one in yaml.safe_load_all(done.stdout)}
    expected = {
        (one['kind'], one['metadata']['name']) for group in manifests(rich(), SETTINGS).values() for one in group
    }
    assert set(built) == expected
    (container,) = built['StatefulSet', 'encoder']['spec']['template']['spec']['containers']
    assert container['image'] == 'registry.example/encoder:2'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'name': 'My_Encoder'}, "'My_Encoder' can not be the name of an object in Kubernetes; use lower-case"),
        ({'gpus': 'all'}, "gpus is 'all', and Kubernetes gives a container a number of GPUs; write the number"),
        ({'env_from_secret': {'A': 'secret'}}, "env_from_secret gives A the value 'secret'; write"),
        ({'docker_kwargs': {'init': True}}, 'docker_kwargs'),
    ],
)
def test_what_can_not_be_exported(options: dict[str, Any], message: str) -> None:
    subject = chain(deployment(**{'name': 'one', 'uses': 'docker://image', **options}))
    with pytest.raises(ConfigError, match=message):
        manifests(subject, KubernetesSettings())


def container_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = objects[1]['spec']['template']['spec']['containers']
    return dict(container)


def test_ports_are_numbered_whatever_was_given() -> None:
    objects = manifests(
        chain(deployment(name='one', uses='docker://a', port=[4000]), port=[12345, 12346], protocol=['http', 'grpc']),
        KubernetesSettings(),
    )
    assert [port['port'] for port in objects['gateway/gateway'][0]['spec']['ports']] == [8080, 8081]
    assert {'8080', '8081'} <= set(container_of(objects['gateway/gateway'])['args'])
    assert container_of(objects['one/one'])['ports'] == [{'name': 'grpc', 'containerPort': 8080}]
    alone = manifests(deployment(uses='docker://a', protocol='http', port=[12345], title='Mine'), KubernetesSettings())
    assert container_of(alone['executor'])['ports'] == [{'name': 'http', 'containerPort': 8080}]
    assert 'Mine' in container_of(alone['executor'])['args']


def test_executors_that_only_pass_documents_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_GATEWAY_IMAGE', 'own-gateway')
    objects = manifests(chain(deployment(name='executor0'), replicas=3), KubernetesSettings())
    assert objects['gateway/gateway'][1]['spec']['replicas'] == 3
    container = container_of(objects['executor0/executor0'])
    assert container['image'] == 'own-gateway'
    assert '--uses' not in container['args']


def test_storage_and_what_containers_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_K8S_ACCESS_MODES', '["ReadWriteMany"]')
    monkeypatch.setenv('JINA_K8S_STORAGE_CLASS_NAME', 'fast')
    monkeypatch.setenv('JINA_K8S_STORAGE_CAPACITY', '3Gi')
    monkeypatch.setenv('JINA_LOG_LEVEL', 'DEBUG')
    one = deployment(
        name='one',
        uses='docker://a',
        volumes=['/srv/data:/data', 'models:/models:ro'],
        workspace='/data/work',
        log_config='/app/logging.yml',
        entrypoint='python -m mine',
    )
    objects = manifests(one, KubernetesSettings())['one']
    for claim in objects[1]['spec']['volumeClaimTemplates']:
        assert claim['spec'] == {
            'accessModes': ['ReadWriteMany'],
            'resources': {'requests': {'storage': '3Gi'}},
            'storageClassName': 'fast',
        }
    container = container_of(objects)
    assert container['volumeMounts'] == [
        {'name': 'volume-0', 'mountPath': '/data'},
        {'name': 'volume-1', 'mountPath': '/models', 'readOnly': True},
    ]
    assert container['command'] == ['python', '-m', 'mine']
    arguments = container['args']
    for flag, value in (('--workspace', '/data/work'), ('--log-config', '/app/logging.yml')):
        assert arguments[arguments.index(flag) + 1] == value
    assert {'name': 'JINA_LOG_LEVEL', 'value': 'DEBUG'} in container['env']


def test_labels_of_ones_own_do_not_part_services_from_their_pods() -> None:
    for group in manifests(rich(), SETTINGS).values():
        service, controller = group[:2]
        labels = controller['spec']['template']['metadata']['labels']
        assert labels['app'] == 'fashion'
        assert service['spec']['selector'] == controller['spec']['selector']['matchLabels']
        assert service['spec']['selector'].items() <= labels.items()
        assert labels.get('group') == ('backend' if service['metadata']['name'] == 'encoder' else None)


def test_a_pod_that_leaves_answers_as_long_as_is_asked_for() -> None:
    settings = KubernetesSettings(pre_stop_s=60)
    pod = by_kind(documented(), 'encoder/encoder', settings)['Deployment']['spec']['template']['spec']
    assert pod['containers'][0]['lifecycle']['preStop']['exec']['command'][-1] == 'import time; time.sleep(60)'
    assert pod['terminationGracePeriodSeconds'] > 60 + 4
    with pytest.raises(ConfigError, match='pre_stop_s is -1; 0 or more seconds are possible'):
        manifests(documented(), KubernetesSettings(pre_stop_s=-1))


def test_workspaces_on_disks() -> None:
    shared = by_kind(rich(), 'indexer/indexer-1', SETTINGS)
    assert shared['PersistentVolumeClaim']['metadata']['name'] == 'indexer-1-workspace'
    assert shared['PersistentVolumeClaim']['spec'] == {
        'accessModes': ['ReadWriteMany'],
        'resources': {'requests': {'storage': '10G'}},
    }
    pod = shared['Deployment']['spec']['template']['spec']
    assert pod['volumes'] == [{'name': 'workspace', 'persistentVolumeClaim': {'claimName': 'indexer-1-workspace'}}]
    assert {'name': 'JINA_DEFAULT_WORKSPACE_BASE', 'value': '/app/workspace'} in pod['containers'][0]['env']
    assert 'PersistentVolumeClaim' not in by_kind(rich(), 'indexer/indexer-head', SETTINGS)

    settings = KubernetesSettings(storage={'encoder': Storage(retain=False)})
    own = by_kind(documented(), 'encoder/encoder', settings)['StatefulSet']['spec']
    assert own['volumeClaimTemplates'][0]['metadata'] == {'name': 'workspace'}
    assert own['persistentVolumeClaimRetentionPolicy'] == {'whenDeleted': 'Delete', 'whenScaled': 'Retain'}
    pod = own['template']['spec']
    assert pod['containers'][0]['volumeMounts'] == [{'name': 'workspace', 'mountPath': '/app/workspace'}]
    assert pod['securityContext'] == {'fsGroup': 1000}  # or the user of the image could write nothing there


def test_what_stays_while_nodes_are_drained() -> None:
    budget = by_kind(rich(), 'encoder/encoder', SETTINGS)['PodDisruptionBudget']['spec']
    assert (budget['maxUnavailable'], 'minAvailable' in budget) == (1, False)
    wrong = KubernetesSettings(availability={'encoder': {'minAvailable': 2}})
    with pytest.raises(ConfigError, match=r"availability of 'encoder' is {'minAvailable': 2}, with 2 replicas; give"):
        manifests(documented(), wrong)


def test_when_replicas_are_added_and_go() -> None:
    spec = by_kind(rich(), 'gateway/gateway', SETTINGS)['HorizontalPodAutoscaler']['spec']
    assert spec['metrics'][0]['resource'] == {
        'name': 'memory',
        'target': {'type': 'AverageValue', 'averageValue': '60Mi'},
    }
    assert spec['behavior'] == {'scaleDown': {'stabilizationWindowSeconds': 30}}


@pytest.mark.parametrize(
    ('metric', 'name'), [('concurrency', 'jina_concurrent_requests'), ('rps', 'jina_requests_per_second')]
)
def test_replicas_by_the_requests_of_each(metric: Any, name: str) -> None:
    settings = KubernetesSettings(
        autoscale={'encoder': Autoscale(1, 4, metric, 50), 'gateway': Autoscale(1, 2, 'cpu')}, scrape='annotations'
    )
    objects = manifests(documented(), settings)
    found = {one['kind']: one for one in objects['encoder/encoder']}
    scaler = found['HorizontalPodAutoscaler']
    kubernetes_validate.validate(scaler, newest_versions()[0], strict=True)
    assert scaler['spec']['metrics'] == [
        {'type': 'Pods', 'pods': {'metric': {'name': name}, 'target': {'type': 'AverageValue', 'averageValue': '50'}}}
    ]
    observed = {path for path, group in objects.items() if '--monitoring' in container_of(group)['args']}
    assert observed == {'encoder/encoder'}, 'it can only be scaled by what it measures'
    assert found['Deployment']['spec']['template']['metadata']['annotations']['prometheus.io/port'] == '9090'


def test_pods_have_time_for_their_requests_in_flight(tmp_path: Path) -> None:
    def seconds(**options: Any) -> int:
        subject = deployment(port=8080, name='encoder', uses='docker://encoder', **options)
        (file,) = export_kubernetes(subject, tmp_path)
        (one,) = written(file, 'Deployment')
        container = one['spec']['template']['spec']['containers'][0]
        assert ('--timeout-graceful-shutdown' in container['args']) is bool(options)
        period: int = one['spec']['template']['spec']['terminationGracePeriodSeconds']
        return period

    assert seconds() == 30
    assert seconds(timeout_graceful_shutdown=60_500) > 12 + 60.5


def with_state(**options: Any) -> Any:
    """Replicas with state in two shards."""
    options = {'replicas': 3, 'stateful': True, 'monitoring': True, **options}
    return chain(deployment(name='store', uses='docker://store', **options))


@pytest.mark.parametrize('replicas', [3, 5])
def test_replicas_with_state(replicas: int) -> None:
    objects = manifests(with_state(shards=2, replicas=replicas), KubernetesSettings(namespace='space'))
    for shard in range(2):
        name = f'store-{shard}'
        callers, peers = [one['spec'] for one in objects[f'store/{name}'] if one['kind'] == 'Service']
        found = {one['kind']: one['spec'] for one in objects[f'store/{name}']}
        controller = found['StatefulSet']
        (container,) = controller['template']['spec']['containers']
        labels = controller['selector']['matchLabels']
        assert peers['selector'] == callers['selector'] == labels
        assert (peers['clusterIP'], peers['publishNotReadyAddresses']) == ('None', True)
        assert 'publishNotReadyAddresses' not in callers, 'gateways are to find those that are ready'
        assert (controller['serviceName'], controller['podManagementPolicy']) == (f'{name}-peers', 'Parallel')
        assert controller['updateStrategy'] == {'type': 'RollingUpdate'}
        assert {'name': 'peers', 'containerPort': 8090} in container['ports']
        assert found['PodDisruptionBudget']['minAvailable'] == replicas // 2 + 1
        (wish,) = controller['template']['spec']['affinity']['podAntiAffinity'].popitem()[1]
        assert wish['podAffinityTerm']['labelSelector'] == {'matchLabels': labels}
        arguments = container['args']
        first = arguments.index('--raft-peers') + 1
        assert arguments[first : first + replicas] == [
            f'{name}-{number}.{name}-peers.space.svc:8090' for number in range(replicas)
        ]
        assert arguments[arguments.index('--replica-id') + 1] == '$(K8S_POD_INDEX)'
        assert arguments[arguments.index('--shard-id') + 1] == str(shard) if shard else '--shard-id' not in arguments
        assert arguments[arguments.index('--workspace') + 1] == '/app/workspace'
        first = arguments.index('--port-monitoring') + 1
        assert arguments[first : first + replicas] == ['9090'] * replicas, 'each takes the entry of its number'
        assert [one['metadata']['name'] for one in controller['volumeClaimTemplates']] == ['workspace']
    for group in objects.values():
        for one in group:
            if one['kind'] != 'ServiceMonitor':
                kubernetes_validate.validate(one, newest_versions()[0], strict=True)
    head = container_of(objects['store/store-head'])['args']
    assert '--stateful' not in head and '--raft-peers' not in head
    assert '"0": ["dns://store-0.space.svc:8080"]' in head[head.index('--connection-list') + 1]


def test_the_disks_of_replicas_with_state() -> None:
    def mounts(settings: KubernetesSettings, **options: Any) -> tuple[list[str], str]:
        container = container_of(manifests(with_state(**options), settings)['store/store'])
        arguments = container['args']
        return [one['mountPath'] for one in container['volumeMounts']], arguments[arguments.index('--workspace') + 1]

    assert mounts(KubernetesSettings(), workspace='./here') == (['/app/workspace'], '/app/workspace')
    given = {'volumes': ['data:/data'], 'workspace': '/data/store'}
    assert mounts(KubernetesSettings(), **given) == (['/data'], '/data/store')
    given = {'volumes': ['data:/app/workspace']}
    assert mounts(KubernetesSettings(), **given) == (['/app/workspace'], '/app/workspace')
    settings = KubernetesSettings(storage={'store': Storage('7Gi', retain=False)})
    controller = by_kind(with_state(), 'store/store', settings)['StatefulSet']['spec']
    assert controller['volumeClaimTemplates'][0]['spec']['resources'] == {'requests': {'storage': '7Gi'}}
    assert controller['persistentVolumeClaimRetentionPolicy']['whenDeleted'] == 'Delete'
    shared = KubernetesSettings(storage={'store': Storage(shared=True)})
    with pytest.raises(ConfigError, match="the storage of 'store' is shared, and each replica of a stateful"):
        manifests(with_state(), shared)


def test_the_number_of_replicas_with_state_is_fixed() -> None:
    with pytest.raises(ConfigError, match="autoscale of 'store' is given, and it is stateful"):
        manifests(with_state(), KubernetesSettings(autoscale={'store': Autoscale(3, 5)}))


def test_a_deployment_with_state_that_clients_call() -> None:
    (group,) = manifests(
        deployment(name='store', uses='docker://store', stateful=True, replicas=3, protocol=['http', 'grpc']),
        KubernetesSettings(),
    ).values()
    assert [one['kind'] for one in group] == ['Service', 'StatefulSet', 'Service', 'PodDisruptionBudget']
    assert 'clusterIP' not in group[0]['spec']
    assert container_of(group)['ports'] == [
        {'name': 'http', 'containerPort': 8080},
        {'name': 'grpc', 'containerPort': 8081},
        {'name': 'peers', 'containerPort': 8090},
    ]
