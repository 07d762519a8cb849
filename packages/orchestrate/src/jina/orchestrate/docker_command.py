"""The command ``docker``, and what its errors mean."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from jina.core.errors import ContainerError

_UNREACHABLE: Final = (
    'cannot connect to the docker daemon',
    'is the docker daemon running',
    'error during connect',
    'permission denied while trying to connect',
    'failed to connect to the docker api',
)
_MISSING: Final = ('no such image', 'no such object')


class Docker:
    """The container engine of this machine.

    Raises:
        ContainerError: The command isn't installed.
    """

    def __init__(self) -> None:
        program = shutil.which('docker')
        if program is None:
            raise ContainerError(
                'a container image needs the command docker, which is not installed',
                hint='install Docker, or give uses a class or a YAML file',
            )
        self.program = program

    def run(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs ``docker ...`` to its end.

        Args:
            words: The arguments.
            env: Environment variables in addition to those of this process.

        Raises:
            ContainerError: The engine doesn't answer.
        """
        done = subprocess.run(
            [self.program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **env} if env else None,
        )
        text = done.stderr.lower()
        if done.returncode and any(sign in text for sign in _UNREACHABLE):
            raise ContainerError(
                f'the container engine does not answer: {done.stderr.strip()}',
                hint='start it, and check DOCKER_HOST and the right to use it',
            )
        return done

    def open(self, *words: str) -> subprocess.Popen[bytes]:
        """Starts ``docker ...``; what it prints is to be read.

        Args:
            words: The arguments.
        """
        return subprocess.Popen(
            [self.program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def image_user(self, image: str) -> str | None:
        """Returns the user that an image runs as, an empty text for root; None if the image isn't there.

        Args:
            image: Its name.

        Raises:
            ContainerError: The engine doesn't answer, or doesn't like the name.
        """
        done = self.run('image', 'inspect', '--format', '{{.Config.User}}', image)
        if done.returncode == 0:
            return done.stdout.strip()
        if any(sign in done.stderr.lower() for sign in _MISSING):
            return None
        raise ContainerError(f'the image {image} can not be used: {first_error(done.stderr)}')

    def bridge_address(self) -> str | None:
        """Returns the address of this machine in the network of containers; None if that is another machine, or there is no such network."""
        done = self.run('network', 'inspect', '--format', '{{json .IPAM.Config}}', 'bridge')
        for address in _gateways(done.stdout):
            with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as probe:
                try:
                    probe.bind((address, 0))
                except OSError:
                    continue
                return address
        return None

    def remove(self, name: str) -> None:
        """Ends a container at once, if it runs, and removes it with its volumes that have no name.

        Args:
            name: Its name.
        """
        self.run('rm', '--force', '--volumes', name)

    def guard(self, name: str) -> subprocess.Popen[bytes]:
        """Starts a process that removes a container as soon as this process has ended, however that happens.

        Args:
            name: Name of the container.
        """
        script = 'cat > /dev/null; exec "$0" rm --force --volumes "$1"'
        return subprocess.Popen(
            ['/bin/sh', '-c', script, self.program, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def first_error(text: str) -> str:
    """Returns what an error of the command says, without its prefix and its advice.

    Args:
        text: What it wrote.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(('See ', 'Run ', 'Usage'))]
    line = next((line for line in lines if 'Error' in line), lines[0] if lines else 'no reason is given')
    for prefix in ('docker: ', 'Error response from daemon: ', 'Error: '):
        line = line.removeprefix(prefix)
    return line


def last_lines(lines: Sequence[str]) -> str:
    """Returns lines of output as messages show them; nothing if there are none.

    Args:
        lines: The lines.
    """
    shown = ''.join(f'\n    {line}' for line in lines)
    return f'; its last output was:{shown}' if shown else ''


def _gateways(configuration: str) -> list[str]:
    """Returns the addresses that this machine may have in a network.

    An engine that has just made its bridge tells the subnet only; its own address is the first one there.
    """
    try:
        subnets = json.loads(configuration) or []
    except ValueError:  # there is no such network
        return []
    return [
        subnet.get('Gateway') or str(next(ipaddress.ip_network(subnet['Subnet'], strict=False).hosts()))
        for subnet in subnets
        if subnet.get('Gateway') or subnet.get('Subnet')
    ]
