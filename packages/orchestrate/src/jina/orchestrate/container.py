"""What a pod process runs for an Executor or a gateway in a container: it starts the container, watches it, and takes it away again."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final

from jina.core.config import ClientOptions, PodAddress, RestartPolicy
from jina.core.errors import ContainerError, JinaError, PortInUseError
from jina.orchestrate.container_network import LOOPBACK
from jina.orchestrate.container_plan import START_LABEL, ContainerPlan
from jina.orchestrate.docker_command import Docker, first_error, last_lines
from jina.orchestrate.pod import Pod
from jina.orchestrate.restarts import RestartPlan

if TYPE_CHECKING:
    from jina.orchestrate.podmain import Report

_KEPT_LINES: Final = 20
_POLL_S: Final = 0.1
_CHECK_S: Final = 2.0
_STOP_S: Final = 86400
"""Seconds that the engine gives a container to stop: the parent process knows better when this one is killed."""
_TAKEN: Final = ('port is already allocated', 'address already in use')
_PORT: Final = re.compile(r':(\d+)(?:/tcp)?(?:: bind: address already in use| failed: port is already allocated)')
_STATE: Final = '{{.State.StartedAt}}|{{.State.OOMKilled}}|{{.State.ExitCode}}|{{.State.Error}}'


def container_pod(
    plan: ContainerPlan,
    *,
    owner: str,
    logger: logging.Logger,
    again: Callable[[list[PodAddress]], ContainerPlan] | None = None,
    on_return: Callable[[], object] = lambda: None,
) -> Pod:
    """Returns the pod of one container, which isn't started yet.

    Args:
        plan: The container.
        owner: Who the pod belongs to, as messages name it.
        logger: Where an unexpected end is reported.
        again: Gives the plan of a container that takes its place; by default it is the same at the same addresses.
        on_return: Called when it answers again after a restart.
    """
    follow = again or plan.at
    restart = RestartPlan(
        RestartPolicy.parse(plan.options.restart), lambda addresses: (follow(addresses),), on_return=on_return
    )
    return Pod(plan.options.runtime_name, run_container, (plan,), owner=owner, logger=logger, restart=restart)


def run_container(report: Report, plan: ContainerPlan) -> int:
    """Runs one container until SIGTERM or until it ends.

    Args:
        report: Told where the Executor or the gateway answers, as soon as it does.
        plan: What is started.

    Returns:
        Its exit status; 0 if it was asked to stop.

    Raises:
        ContainerError: There is no engine or no image, or the container doesn't start.
        PortInUseError: A port is taken.
    """
    return _Container(report, plan).run()


class _Container:
    def __init__(self, report: Report, plan: ContainerPlan) -> None:
        self._report = report
        self._plan = plan
        self._stopping = threading.Event()
        self._changed = threading.Event()
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._docker = Docker()
        self._name = f'jina-{re.sub(r"[^A-Za-z0-9_.-]", "-", plan.options.runtime_name)}-{uuid.uuid4().hex[:8]}'
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._ready = False

    def _on_terminate(self, *_: object) -> None:
        self._stopping.set()
        self._changed.set()

    def run(self) -> int:
        user = self._find_image()
        if os.environ.get('JINA_RESTARTS', '0') != '0':
            self._remove_earlier()
        if self._stopping.is_set():
            return 0
        self._place()
        self._make_workspace(user)
        guard = self._docker.guard(self._name)
        try:
            self._create()
            return self._attend()
        finally:
            self._docker.remove(self._name)
            guard.kill()
            guard.wait()

    def _find_image(self) -> str:
        """Returns the user that the image runs as; an image that isn't there is pulled."""
        image = self._plan.image
        user = self._docker.image_user(image)
        if user is not None:
            return user
        sys.stderr.write(f'{self._plan.options.runtime_name}: the image {image} is not there, pulling it\n')
        pull = self._docker.open('pull', image)
        readers = self._forward(pull)
        while not self._has_ended(pull):
            if self._stopping.is_set():
                pull.terminate()
        for reader in readers:
            reader.join()
        if pull.returncode == 0:
            return self._docker.image_user(image) or ''
        if self._stopping.is_set():
            return ''
        raise ContainerError(
            f'there is no image {image} here, and it can not be pulled: {first_error(chr(10).join(self._lines))}',
            hint='build it (docker build), or check its name and docker login',
        )

    def _remove_earlier(self) -> None:
        """Removes the container of an earlier start of the same pod, which keeps its ports."""
        wanted = f'label={START_LABEL}={self._plan.key}'
        for name in self._docker.run('ps', '--all', '--quiet', '--filter', wanted).stdout.split():
            self._docker.remove(name)
        while self._docker.run('ps', '--all', '--quiet', '--filter', wanted).stdout.strip():
            if self._stopping.wait(_POLL_S):  # somebody else is about to remove it
                return

    def _place(self) -> None:
        """Chooses the address at which it will be reached, where that can't be left to the engine."""
        plan = self._plan
        host = plan.host
        if plan.for_containers:
            host = self._docker.bridge_address() or _without_bridge(plan)
        if plan.network.is_of_machine:
            # The server in the container binds the ports itself, and has no way to tell which ones it found.
            self._plan = plan.placed(host, _unused_ports(host, plan.wanted_ports, plan.options.runtime_name))
        else:
            self._plan = replace(plan, host=host)

    def _make_workspace(self, user: str) -> None:
        """Makes the folder of the workspace, if it is new, for the user that the image runs as."""
        folder = self._plan.workspace_source
        if folder is None or folder.exists():
            return
        given = (self._plan.options.docker_kwargs or {}).get('user')
        numbers = re.fullmatch(r'(\d+)(?::(\d+))?', str(given if given is not None else user))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0 and numbers is not None:
                os.chown(folder, int(numbers[1]), int(numbers[2] or numbers[1]))
        except OSError as error:
            raise ContainerError(
                f'the folder {folder} for the workspace can not be made: {error.strerror}',
                hint='give another workspace, or disable_auto_volume=True',
            ) from error

    def _create(self) -> None:
        words = self._plan.create_arguments(self._name)
        done = self._docker.run('create', '--pull', 'never', *words, env=self._plan.secrets())
        if done.returncode:
            raise ContainerError(
                f'the container of {self._plan.image} can not be made: {first_error(done.stderr)}',
                hint='check volumes, gpus, entrypoint and docker_kwargs',
            )

    def _attend(self) -> int:
        process = self._docker.open('start', '--attach', self._name)
        readers = self._forward(process)
        stop: subprocess.Popen[bytes] | None = None
        ports: dict[int, int] = {}
        while not self._has_ended(process):
            if self._stopping.is_set() and (stop is None or stop.poll() is not None):  # it may not have run yet
                stop = self._docker.open('stop', '-t', str(_STOP_S), self._name)
            elif not self._ready and stop is None:
                ports = ports or self._published()
                self._check(ports)
            elif stop is None:
                self._changed.wait()
        for reader in readers:
            reader.join()
        if stop is not None:
            stop.kill()  # what it waits for has happened, or can't happen any more
            stop.communicate()
            return 0
        return self._status(process.returncode)

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _forward(self, process: subprocess.Popen[bytes]) -> list[threading.Thread]:
        """Passes on what a process writes, and keeps the last lines."""

        def copy(source: IO[bytes], target: Callable[[str], Any]) -> None:
            for line in source:
                text = line.decode(errors='replace')
                if text.strip():
                    self._lines.append(text.rstrip())
                target(text)
            self._changed.set()

        pairs = ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        threads = [
            threading.Thread(target=copy, args=(source, target.write), daemon=True)
            for source, target in pairs
            if source is not None
        ]
        for thread in threads:
            thread.start()
        return threads

    def _published(self) -> dict[int, int]:
        """The port of this machine for each port of the container; nothing as long as the container doesn't run.

        Raises:
            ContainerError: Its network publishes no ports.
        """
        if not self._runs():
            return {}
        if self._plan.network.is_of_machine:
            return self._plan.ports()
        found = {}
        for inside in self._plan.ports():
            lines = self._docker.run('port', self._name, f'{inside}/tcp').stdout.split()
            if not lines and self._runs():
                raise ContainerError(
                    f'the network {self._plan.network.name} publishes no ports of {self._plan.image}',
                    hint='give one that is not internal, or leave it out',
                )
            if not lines:
                return {}
            found[inside] = int(lines[0].rpartition(':')[2])
        return found

    def _runs(self) -> bool:
        return self._docker.run('inspect', '--format', '{{.State.Running}}', self._name).stdout.strip() == 'true'

    def _check(self, ports: dict[int, int]) -> None:
        """Reports that the server is ready, if it is."""
        if not ports:
            return
        options, found = self._plan.options, list(ports.values())
        tls = self._plan.is_gateway and options.uses_tls
        addresses = [
            PodAddress(protocol, self._plan.host, port, tls)
            for protocol, port in zip(options.protocol, found, strict=False)
        ]
        # A gateway of one's own answers for its first port only, as it does in a process.
        near = [replace(address, host=address.near_host) for address in addresses]
        if _gateway_answers(near[0]) if self._plan.is_gateway else all(map(_answers, near)):
            self._ready = True
            self._report(addresses)
            if options.monitoring:
                sys.stderr.write(f'{options.runtime_name}: metrics at port {found[-1]}\n')

    def _status(self, status: int) -> int:
        """The exit status of the container that ended by itself.

        Raises:
            ContainerError: It never was ready.
            PortInUseError: A port is taken.
        """
        done = self._docker.run('inspect', '--format', _STATE, self._name)
        if done.returncode:
            raise ContainerError(f'the container of {self._plan.image} was removed by somebody else')
        started, killed, code, error = done.stdout.strip().split('|', 3)
        if started.startswith('0001-'):
            self._refuse_start(error or first_error('\n'.join(self._lines)))
        how = self._memory_end() if killed == 'true' else f'ended with exit status {code}'
        if not self._ready:
            raise ContainerError(
                f'the container of {self._plan.image} {how} before it was ready{last_lines(self._lines)}'
            )
        if killed == 'true':
            sys.stderr.write(f'the container of {self._plan.image} {how}\n')
        return int(code) or status

    def _memory_end(self) -> str:
        limit = (self._plan.options.docker_kwargs or {}).get('mem_limit')
        if limit is None:
            return 'was killed because the memory of this machine ran out'
        return f'was killed because it used more memory than its mem_limit of {limit}'

    def _refuse_start(self, reason: str) -> None:
        if any(sign in reason for sign in _TAKEN):
            found = _PORT.search(reason)
            taken = [port for port in self._plan.ports().values() if port]
            raise PortInUseError(int(found[1]) if found else taken[0] if taken else 0, self._plan.options.runtime_name)
        gpus = 'capabilities: [[gpu]]' in reason or 'nvidia' in reason.lower()
        raise ContainerError(
            f'the container of {self._plan.image} can not be started: {reason}',
            hint='install the NVIDIA container toolkit, and check gpus'
            if gpus
            else 'check volumes, entrypoint and docker_kwargs',
        )


def _unused_ports(host: str, wanted: Sequence[int], owner: str) -> list[int]:
    """Returns ports of this machine that nobody listens on.

    Raises:
        PortInUseError: Another process listens on one that is wanted.
        StartupError: The address isn't one of this machine.
    """
    from jina.runtime.ports import reserve  # noqa: PLC0415 - the parent process needs no server

    with ExitStack() as held:  # all at once, so that they differ
        sockets = [held.enter_context(reserve(host, port, owner)) for port in wanted]
        return [holder.getsockname()[1] for holder in sockets]


def _without_bridge(plan: ContainerPlan) -> str:
    """Returns where a container is reached by others if the engine's own network isn't one of this machine.

    Raises:
        ContainerError: It isn't.
    """
    if sys.platform == 'linux':
        raise ContainerError(
            f'{plan.options.runtime_name} can not be reached by the container of the gateway: the network bridge of the engine has '
            'no address on this machine',
            hint="give the gateway force_network_mode='HOST'",
        )
    return LOOPBACK  # containers run in a machine of their own, which knows this one's


def _gateway_answers(address: PodAddress) -> bool:
    """Whether a gateway, which may be one of the user's, says that it is ready.

    Raises:
        StartupError: It will never do.
    """
    from jina.client.loop import background_loop  # noqa: PLC0415 - as below
    from jina.runtime.gateways.health import probe_of  # noqa: PLC0415

    # Each time anew: the engine takes connections long before the server listens.
    return not background_loop().run(lambda _: probe_of(address, 'the gateway in the container').check())


def _answers(address: PodAddress) -> bool:
    """Whether a server says that it is ready."""
    from jina.client.client import open_transport  # noqa: PLC0415 - the parent process needs it elsewhere only
    from jina.client.loop import background_loop  # noqa: PLC0415

    async def check() -> bool:
        transport = open_transport(address, ClientOptions())
        try:
            await transport.check_health(_CHECK_S)
        except JinaError:
            return False
        finally:
            with suppress(JinaError):
                await transport.close()
        return True

    return background_loop().run(lambda _: check())
