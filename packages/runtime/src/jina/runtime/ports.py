"""Ports to listen on: any free one, a given one, or one that several processes share, which the system then spreads over."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from typing import Final

from jina.core.config import ExecutorOptions, GatewayOptions
from jina.core.environment import random_port_range, restarts
from jina.core.errors import NotSupportedError, PortInUseError, StartupError

BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""
_TRIES: Final = 100
_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""This machine has no such address; it may have others of the same host."""


def shared_port(options: ExecutorOptions | GatewayOptions, host: str, port: int) -> int:
    """Returns the port for a server that lets others listen there too.

    The first replica takes a port that nobody has: without a look it would share that of a stranger that shares its own. The
    others join it, and so does the first one when it is started again, or when another process takes its place.

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
    if options.joins_port or restarts():
        return port
    with listen(host, port, name) as listener:
        found: int = listener.getsockname()[1]
        return found


def reserve(host: str, port: int, name: str) -> socket.socket:
    """Takes a port for a server that binds it later by itself: the socket doesn't listen, and others may bind beside it.

    That takes a server that sets ``SO_REUSEADDR``, as those of asyncio, uvicorn and gRPC do.

    Args:
        host: Address to listen on.
        port: The port, 0 for any free one.
        name: Name of the process, for errors.

    Raises:
        PortInUseError: Another process listens there.
        StartupError: The address isn't one of this machine.
    """
    port_range = None if port else random_port_range()
    if port_range is None:
        return _reserve(host, port, name)
    low, high = port_range
    for candidate in random.sample(range(low, high + 1), min(_TRIES, high + 1 - low)):
        with contextlib.suppress(PortInUseError):
            return _reserve(host, candidate, name)
    raise PortInUseError(low, f'{name}, with all others up to {high}')


def _reserve(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        if port:  # may have been in use a moment ago
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host.strip('[]'), port))
        # Only now, so that the system doesn't choose a port that somebody else has reserved.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError as error:
        holder.close()
        raise _no_port(error, host, port, name) from error
    return holder


def listen(host: str, port: int, name: str, *, shared: bool = False) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: Address to listen on.
        port: The port, 0 for any free one.
        name: Name of the process, for errors.
        shared: Other processes listen there too.

    Raises:
        PortInUseError: Another process listens there.
        StartupError: The address isn't one of this machine.
    """
    port_range = None if port else random_port_range()
    if port_range is None:
        return _listen(host, port, name, shared)
    low, high = port_range
    for candidate in random.sample(range(low, high + 1), min(_TRIES, high + 1 - low)):
        with contextlib.suppress(PortInUseError):
            return _listen(host, candidate, name, shared)
    raise PortInUseError(low, f'{name}, with all others up to {high}')


def _listen(host: str, port: int, name: str, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host.strip('[]'), port), family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        raise _no_port(error, host, port, name) from error


def listen_everywhere(host: str, port: int, name: str, *, shared: bool = False) -> list[socket.socket]:
    """Returns sockets that listen at all addresses of a host, of both kinds, with one port.

    Args:
        host: Address or name; ``0.0.0.0`` and ``::`` both stand for all addresses of the machine, as for gRPC.
        port: The port, 0 for any free one.
        name: Name of the process, for errors.
        shared: Other processes listen there too.

    Raises:
        PortInUseError: Another process listens there.
        StartupError: The host isn't this machine.
    """
    tries = 1 if port else _TRIES  # what is free at one address needn't be free at the others
    for left in reversed(range(tries)):
        try:
            return _listen_everywhere(host, port, shared)
        except OSError as error:
            if not left or error.errno != errno.EADDRINUSE:
                raise _no_port(error, host, port, name) from error
    raise AssertionError('the last try returns or raises')


def _listen_everywhere(host: str, port: int, shared: bool) -> list[socket.socket]:
    bare = host.strip('[]')
    if bare in ('0.0.0.0', '::'):
        bare = '0.0.0.0'
        if socket.has_dualstack_ipv6():
            try:
                return [
                    socket.create_server(
                        ('::', port),
                        family=socket.AF_INET6,
                        backlog=BACKLOG,
                        reuse_port=shared,
                        dualstack_ipv6=True,
                    )
                ]
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
    found: list[socket.socket] = []
    missing: OSError | None = None
    resolved = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, address in dict.fromkeys((int(one[0]), str(one[4][0])) for one in resolved):
        try:
            found.append(socket.create_server((address, port), family=family, backlog=BACKLOG, reuse_port=shared))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                for one in found:
                    one.close()
                raise
            missing = error
        else:
            port = found[0].getsockname()[1]
    if not found and missing is not None:
        raise missing
    return found


def _no_port(error: OSError, host: str, port: int, name: str) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(port, name)
    return StartupError(f'{name} can not listen on {host}:{port}: {error}')
