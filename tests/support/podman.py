"""Podman in the place of a Kubernetes cluster: it runs the pods of manifests, and this module does what else a cluster does.

``podman kube play`` starts the pods of a Deployment and has a name server. It has no Services, asks no gRPC probes, runs no
``preStop`` and replaces no pods. So the name of a headless Service is an alias of its pods here, probes are asked from outside, as a
kubelet does it, and ``Cluster.roll`` replaces pods as ``maxSurge: 1`` and ``maxUnavailable: 0`` say. Unlike in Kubernetes, the name
still stands for a pod that is about to stop.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
import yaml

from tests.support.containers import BASE, BASE_PATH, base_archive
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
        with tempfile.NamedTemporaryFile(suffix='.tar') as file:
            base_archive(Path(file.name))
            self.run('import', '--change', BASE_PATH, file.name, BASE)

    def build(self, folder: Path, tag: str) -> None:
        """Builds the image of a folder with a Dockerfile and wheels on the base of tests."""
        arguments = ('--build-arg', f'BASE={BASE}', '--build-arg', 'PIP_ARGS=--no-index --find-links /build/wheels')
        self.run('build', '--network', 'none', '-t', tag, *arguments, folder, timeout=400)


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

    @property
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
        grace = self._spec['terminationGracePeriodSeconds']
        self._podman.run('exec', self._container_name, *self._container['lifecycle']['preStop']['exec']['command'])
        left = int(grace - (time.monotonic() - began))
        self._podman.run('stop', '--time', str(left), self._container_name)
        state = json.loads(self._podman.run('inspect', self._container_name))[0]['State']
        assert state['ExitCode'] == 0, f'{self.name} had to be killed, or failed:\n{self.log[-2000:]}'
        self._podman.run('pod', 'rm', '--force', self.name)


class Cluster:
    """The pods of a namespace, in a network with names."""

    def __init__(self, owner: Podman, folder: Path, namespace: str) -> None:
        self.pods: dict[str, list[Pod]] = {}
        """Those of each Deployment."""
        self._podman = owner
        self._folder = folder
        self._namespace = namespace
        self._revision = 0
        owner.run('network', 'create', namespace)

    def apply(self, file: Path, *, publish: int | None = None) -> None:
        """Starts the pods of an exported file.

        Args:
            file: The file, with one Deployment.
            publish: Port of the loopback address that leads to the first port of the container, as a load balancer does.
        """
        deployment = _deployment(file)
        if publish is not None:
            (container,) = deployment['spec']['template']['spec']['containers']
            container['ports'][0] |= {'hostIP': '127.0.0.1', 'hostPort': publish}
        name = deployment['metadata']['name']
        self.pods[name] = self._play(deployment, name)
        for pod in self.pods[name]:
            pod.wait_until_ready()

    def roll(self, file: Path) -> None:
        """Replaces the pods of a Deployment: each old one begins to stop when a new one is ready.

        Args:
            file: The new version of its file.
        """
        deployment = _deployment(file)
        name = deployment['metadata']['name']
        old, new = self.pods[name], []
        with ThreadPoolExecutor(len(old)) as executor:
            stopping: list[Future[None]] = []
            for leaving in old:
                one = copy.deepcopy(deployment)
                one['spec']['replicas'] = 1
                self._revision += 1
                one['metadata']['name'] = f'{name}-{self._revision}'  # as a Deployment gives its pods other names
                (pod,) = self._play(one, name)
                pod.wait_until_ready()
                new.append(pod)
                stopping.append(executor.submit(leaving.stop))
            for end in stopping:
                end.result()
        self.pods[name] = new

    def _play(self, deployment: Manifest, service: str) -> list[Pod]:
        (container,) = deployment['spec']['template']['spec']['containers']
        # podman gives every port one of the machine, which only one pod can have
        container['ports'] = [port for port in container['ports'] if 'hostPort' in port]
        for variable in container['env']:
            if variable.get('valueFrom') == {'fieldRef': {'fieldPath': 'metadata.namespace'}}:
                del variable['valueFrom']  # podman knows metadata.name only
                variable['value'] = self._namespace
        file = self._folder / f'{deployment["metadata"]["name"]}.played.yml'
        file.write_text(yaml.safe_dump(deployment))
        alias = f'{service}.{self._namespace}.svc'
        self._podman.run('kube', 'play', '--network', f'{self._namespace}:alias={alias}', file)
        spec = deployment['spec']['template']['spec']
        count = deployment['spec'].get('replicas', 1)
        return [Pod(self._podman, f'{deployment["metadata"]["name"]}-pod-{number}', spec) for number in range(count)]


def _deployment(file: Path) -> Manifest:
    (found,) = [one for one in yaml.safe_load_all(file.read_text()) if one['kind'] == 'Deployment']
    return dict(found)
