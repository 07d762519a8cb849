"""Ports that several processes share: each listens by itself, and the system spreads new connections over them."""

from __future__ import annotations

import errno
import random
import socket
from typing import Final

from jina.core.config import ExecutorOptions, GatewayOptions
from jina.core.environment import random_port_range
from jina.core.errors import NotSupportedError, PortInUseError, StartupError

_TRIES: Final = 100


def shared_port(options: ExecutorOptions | GatewayOptions, host: str, port: int) -> int:
    """Returns the port for a server that lets others listen there too.

    The first replica takes a port that nobody has: without a look it would share that of a stranger that shares its own. The
    others join it.

    Args:
        options: Options of the process.
        host: Address to listen on.
        port: The port, 0 for any free one.

    Raises:
        NotSupportedError: This system can't share ports.
        PortInUseError: Another process listens there.
        StartupError: The address isn't one of this machine.
    """
    name = options.runtime_name
    if not hasattr(socket, 'SO_REUSEPORT'):
        raise NotSupportedError(f'{name}: processes can not share a port on this system', hint='use one replica')
    if options.replica_id:
        return port
    port_range = None if port else random_port_range()
    if port_range is None:
        return _claim(host, port, name)
    low, high = port_range
    for candidate in random.sample(range(low, high + 1), min(_TRIES, high + 1 - low)):
        try:
            return _claim(host, candidate, name)
        except PortInUseError:
            continue
    raise PortInUseError(low, f'{name}, with all others up to {high}')


def _claim(host: str, port: int, name: str) -> int:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        with socket.create_server((host.strip('[]'), port), family=family) as listener:
            found: int = listener.getsockname()[1]
            return found
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(port, name) from error
        raise StartupError(f'{name} can not listen on {host}:{port}: {error}') from error
