"""Podman in the place of a Kubernetes cluster: it runs the pods of manifests, and this module does what else a cluster does.

``podman kube play`` starts pods and has a name server. It has no Services and StatefulSets, asks no gRPC probes, runs no
``preStop`` and replaces no pods. So the name of a headless Service is an alias of its pods here, probes are asked from outside, as a
kubelet does it, a ``Balancer`` leads callers to gateways, and ``Cluster.roll`` replaces the pods of a Deployment as ``maxSurge: 1`` and
``maxUnavailable: 0`` say, those of a StatefulSet one by one from the last to the first. Unlike in Kubernetes, a name also stands for pods
that aren't ready yet, or that are about to stop.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
import yaml

from tests.support.balancer import Balancer
from tests.support.containers import BASE, BASE_PATH, BUILD_ARGUMENTS, base_archive
from tests.support.requirements import require_program

Manifest: TypeAlias = 'dict[str, Any]'
_SETTINGS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_HEALTH = '/grpc.health.v1.Health/Check'
_SERVING = b'\x08\x01'


class Podman:
    """Podman with images, containers and networks of its own."""

    def __init__(self, folder: Path) -> None:
        program = require_program('podman', package='podman')
        settings = folder / 'containers.conf'
        settings.write_text(_SETTINGS)
        self._variables = {**os.environ, 'CONTAINERS_CONF': str(settings)}
        self._command = [program, '--root', str(folder / 'images'), '--runroot', str(folder / 'run')]
        self._command += ['--network-config-dir', str(folder / 'networks')]

    def run(self, *words: str | Path, check: bool = True, timeout: float = 120) -> str:
        """Runs ``podman ...``; returns what it printed."""
        done = subprocess.run(
            [*self._command, *map(str, words)],
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0 or not check, f'podman {" ".join(map(str, words))}: {done.stdout[-4000:]}'
        return done.stdout

    def load_base(self) -> None:
        """Makes the base image of tests."""
        with base_archive() as file:
            self.run('import', '--change', BASE_PATH, file, BASE)

    def build(self, folder: Path, tag: str) -> None:
        """Builds the image of a folder with a Dockerfile and wheels on the base of tests."""
        self.run('build', '--network', 'none', '-t', tag, *BUILD_ARGUMENTS, folder, timeout=400)


@contextlib.contextmanager
def podman() -> Iterator[Podman]:
    """Podman that leaves nothing behind; skips the test where it can't run."""
    if os.geteuid() != 0:
        pytest.skip('podman needs root to give pods addresses of their own')
    with tempfile.TemporaryDirectory(prefix='podman-', dir='/var/tmp', ignore_cleanup_errors=True) as name:
        running = Podman(Path(name))
        said = running.run('info', '--format', '{{.Version.Version}}', check=False)
        if not said[:1].isdigit():
            pytest.skip(f'podman does not run here: {said[-600:]}')
        try:
            yield running
        finally:
            running.run('kill', '--all', '--signal', 'KILL', check=False)
            running.run('pod', 'rm', '--all', '--force', check=False)
            running.run('rmi', '--all', '--force', check=False)
            running.run('umount', '--all', check=False)


class Pod:
    """One pod with one container of ours.

    Args:
        owner: The Podman that runs it.
        name: Its name.
        spec: What the manifest says about it.
    """

    def __init__(self, owner: Podman, name: str, spec: Manifest) -> None:
        self.name = name
        self._podman = owner
        self._spec = spec
        (self._container,) = spec['containers']
        self._container_name = f'{name}-{self._container["name"]}'

        self.ports: list[Manifest] = self._container['ports']

    @functools.cached_property
    def address(self) -> str:
        """Its address in the network of the pods."""
        infra = json.loads(self._podman.run('pod', 'inspect', self.name))['InfraContainerID']
        networks = json.loads(self._podman.run('inspect', infra))[0]['NetworkSettings']['Networks']
        return str(next(iter(networks.values()))['IPAddress'])

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._podman.run('logs', self._container_name, check=False)

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Asks the readiness probe until it is answered."""
        target = f'{self.address}:{self._container["readinessProbe"]["grpc"]["port"]}'
        deadline = time.monotonic() + timeout
        with grpc.insecure_channel(target, options=(('grpc.max_reconnect_backoff_ms', 200),)) as channel:
            check: Any = channel.unary_unary(_HEALTH)
            while True:
                with contextlib.suppress(grpc.RpcError):
                    if check(b'', timeout=2) == _SERVING:
                        return
                assert time.monotonic() < deadline, f'{self.name} is not ready:\n{self.log[-2000:]}'
                time.sleep(0.1)

    def stop(self) -> None:
        """Ends it as a kubelet does: first ``preStop``, then SIGTERM, and SIGKILL after what is left of the grace period."""
        began = time.monotonic()
        print('STOP', self.name, time.time())
        grace = self._spec['terminationGracePeriodSeconds']
        self._podman.run('exec', self._container_name, *self._container['lifecycle']['preStop']['exec']['command'])
        left = int(grace - (time.monotonic() - began))
        self._podman.run('stop', '--time', str(left), self._container_name)
        state = json.loads(self._podman.run('inspect', self._container_name))[0]['State']
        assert state['ExitCode'] == 0, f'{self.name} had to be killed, or failed:\n{self.log[-2000:]}'
        self._podman.run('pod', 'rm', '--force', self.name)

    def kill(self) -> None:
        """Ends it without a warning."""
        self._podman.run('kill', '--signal', 'KILL', self._container_name, check=False)
        self._podman.run('pod', 'rm', '--force', self.name)


class Cluster:
    """The pods of a namespace, in a network with names."""

    def __init__(self, owner: Podman, folder: Path, namespace: str) -> None:
        self.pods: dict[str, list[Pod]] = {}
        """Those of each Deployment and StatefulSet."""
        self._podman = owner
        self._folder = folder
        self._namespace = namespace
        self._revision = 0
        self.balancers: dict[str, list[Balancer]] = {}
        """What leads callers to them, for each port of a pod, while they are ``balanced``."""
        owner.run('network', 'create', namespace)

    def apply(self, file: Path) -> None:
        """Starts the pods of an exported file.

        Args:
            file: The file, with one Deployment or StatefulSet.
        """
        controller = _controller(file)
        name, count = controller['metadata']['name'], controller['spec'].get('replicas', 1)
        self.pods[name] = []
        for number in range(count):
            self.pods[name].append(self._start(controller, self._pod_name(controller, number), number))
        for pod in self.pods[name]:
            pod.wait_until_ready()

    @contextlib.contextmanager
    def balanced(self, name: str) -> Iterator[list[int]]:
        """Has loopback ports lead to the pods of a Deployment; gives them in the order of its containers' ports."""
        ports = [port['containerPort'] for port in self.pods[name][0].ports]
        with contextlib.ExitStack() as stack:
            self.balancers[name] = [stack.enter_context(Balancer(port)) for port in ports]
            for balancer in self.balancers[name]:
                for pod in self.pods[name]:
                    balancer.add(pod.address)
            yield [balancer.port for balancer in self.balancers[name]]
        del self.balancers[name]

    def roll(self, file: Path) -> None:
        """Replaces the pods of a Deployment or a StatefulSet.

        Args:
            file: The new version of its file.
        """
        controller = _controller(file)
        (self._roll_numbered if controller['kind'] == 'StatefulSet' else self._roll_beside)(controller)

    def lose(self, name: str, number: int) -> None:
        """Kills a pod without a warning, and forgets its address."""
        self.pods[name][number].kill()

    def restore(self, file: Path, number: int) -> None:
        """Starts a lost pod of a StatefulSet again, with its old name and disks."""
        controller = _controller(file)
        pod = self._start(controller, self._pod_name(controller, number), number)
        pod.wait_until_ready()
        self.pods[controller['metadata']['name']][number] = pod

    def _roll_beside(self, controller: Manifest) -> None:
        """Starts new pods; each old one begins to stop when a new one is ready."""
        name = controller['metadata']['name']
        old, new = self.pods[name], []
        with ThreadPoolExecutor(len(old)) as executor:
            stopping: list[Future[None]] = []
            for number, leaving in enumerate(old):
                pod = self._start(controller, self._pod_name(controller, number), number)
                pod.wait_until_ready()
                new.append(pod)
                for balancer in self.balancers.get(name, ()):
                    balancer.add(pod.address)
                    executor.submit(balancer.remove, leaving.address)
                stopping.append(executor.submit(leaving.stop))
            for end in stopping:
                end.result()
        self.pods[name] = new

    def _roll_numbered(self, controller: Manifest) -> None:
        """Stops one pod after the other, and starts a new one with the same name and disks."""
        name = controller['metadata']['name']
        for number, leaving in reversed(list(enumerate(self.pods[name]))):
            leaving.stop()
            pod = self._start(controller, leaving.name, number)
            pod.wait_until_ready()
            self.pods[name][number] = pod

    def _pod_name(self, controller: Manifest, number: int) -> str:
        name = controller['metadata']['name']
        if controller['kind'] == 'StatefulSet':
            return f'{name}-{number}'
        self._revision += 1
        return f'{name}-{self._revision}'  # as a Deployment gives its pods other names each time

    def _start(self, controller: Manifest, name: str, number: int) -> Pod:
        service, spec = controller['metadata']['name'], copy.deepcopy(controller['spec']['template']['spec'])
        (container,) = spec['containers']
        container['ports'] = []  # podman gives every port one of the machine, which only one pod can have
        values = {
            'metadata.namespace': self._namespace,  # podman knows metadata.name only
            "metadata.labels['apps.kubernetes.io/pod-index']": str(number),
        }
        filled = {'K8S_POD_NAME': name}
        for variable in container['env']:
            path = variable.get('valueFrom', {}).get('fieldRef', {}).get('fieldPath')
            if path in values:
                del variable['valueFrom']
                variable['value'] = values[path]
            filled[variable['name']] = variable.get('value', filled.get(variable['name'], ''))
        container['args'] = [_filled_in(argument, filled) for argument in container['args']]
        aliases = [f'{service}.{self._namespace}.svc']
        for wanted in controller['spec'].get('volumeClaimTemplates', ()):
            disk = wanted['metadata']['name']
            claim = {'claimName': f'{disk}-{name}'}
            spec.setdefault('volumes', []).append({'name': disk, 'persistentVolumeClaim': claim})
        if controller['kind'] == 'StatefulSet':
            aliases.append(f'{name}.{controller["spec"]["serviceName"]}.{self._namespace}.svc')
        metadata = {'name': name, 'labels': controller['spec']['template']['metadata']['labels']}
        file = self._folder / f'{name}.played.yml'
        file.write_text(yaml.safe_dump({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': metadata, 'spec': spec}))
        network = ','.join(f'alias={alias}' for alias in aliases)
        self._podman.run('kube', 'play', '--network', f'{self._namespace}:{network}', file)
        return Pod(self._podman, name, controller['spec']['template']['spec'])


@contextlib.contextmanager
def running_cluster(owner: Podman, folder: Path, namespace: str) -> Iterator[Cluster]:
    """A cluster that leaves nothing behind, and tells what its pods have printed if a test fails.

    Args:
        owner: The Podman that runs it.
        folder: A folder for files.
        namespace: Name of the namespace, and of the network.
    """
    cluster = Cluster(owner, folder, namespace)
    try:
        yield cluster
    finally:
        for pod in itertools.chain.from_iterable(cluster.pods.values()):
            print(f'{pod.name}:\n{pod.log[-3000:]}')
            pod.kill()
        owner.run('network', 'rm', '--force', namespace)
        owner.run('volume', 'rm', '--all', '--force')


def _filled_in(argument: str, variables: Mapping[str, str]) -> str:
    """Fills variables in as a kubelet does: ``$(NAME)``, with ``$$`` for a dollar."""

    def fill(found: re.Match[str]) -> str:
        name = found['name']
        return '$' if name is None else variables.get(name, found[0])

    return re.sub(r'\$\$|\$\((?P<name>[^)]+)\)', fill, argument)


def _controller(file: Path) -> Manifest:
    (found,) = [one for one in yaml.safe_load_all(file.read_text()) if one['kind'] in ('Deployment', 'StatefulSet')]
    return dict(found)
