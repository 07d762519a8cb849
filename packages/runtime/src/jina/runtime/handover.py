"""Handing a port over to another process, which takes the place of this one: nobody finds the port closed meanwhile.

The sockets are looked up among those that the process has open, since servers like that of gRPC make theirs by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import stat
import struct
import sys
from collections.abc import Collection, Iterator
from typing import Final

from jina.core.errors import NotSupportedError

_SO_ATTACH_FILTER: Final = 26
_NO_SYN: Final = (
    (0x30, 0, 0, 13),  # load the byte with the flags of TCP
    (0x45, 0, 1, 0x02),  # is it the first packet of a connection?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # take all others
)
"""A program for the kernel's packet filter."""
_QUEUE_AT: Final = 24
_INFO_BYTES: Final = 28
_QUIET_S: Final = 0.3
"""A handshake that had begun is over, and its connection waits to be accepted, after so long."""
_LOOK_S: Final = 0.02


def share(ports: Collection[int], name: str) -> None:
    """Lets another process of this user listen on the ports too, from now on.

    Args:
        ports: Where this process listens.
        name: Name of the process, for errors.

    Raises:
        NotSupportedError: The system can't do that, or another process listens there in the name of this one.
    """
    if not hasattr(socket, 'SO_REUSEPORT'):
        raise NotSupportedError(
            f'{name}: processes can not share a port on this system, so none can take the place of another',
            hint='close it, and start it again',
        )
    with _listeners(ports) as listeners:
        missing = set(ports) - {listener.getsockname()[1] for listener in listeners}
        if missing:
            found = ', '.join(map(str, sorted(missing)))
            raise NotSupportedError(
                f'{name} does not listen on port {found} in its own process, so none can take its place there',
                hint='close it, and start it again',
            )
        for listener in listeners:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def listens(port: int) -> bool:
    """Tells whether this process itself listens on a port."""
    with _listeners((port,)) as listeners:
        return bool(listeners)


async def turn_away(ports: Collection[int]) -> None:
    """Leaves new connections to the other process, and returns when those from before are accepted.

    The kernel shares connections out to all who listen. What it has given to this process and is not accepted when the socket
    is closed is reset. So this process takes no first packet any more; whoever sent it repeats it, to the other one.
    """
    if not sys.platform.startswith('linux'):
        return
    with _listeners(ports) as listeners:
        for listener in listeners:
            _attach(listener)
        loop = asyncio.get_running_loop()
        quiet_since = loop.time()
        while loop.time() < quiet_since + _QUIET_S:
            if any(map(_queue_length, listeners)):
                quiet_since = loop.time()
            await asyncio.sleep(_LOOK_S)


@contextlib.contextmanager
def _listeners(ports: Collection[int]) -> Iterator[list[socket.socket]]:
    """Gives duplicates of the sockets of this process that listen on the ports."""
    with contextlib.ExitStack() as stack:
        found = []
        for name in os.listdir('/dev/fd'):
            with contextlib.suppress(OSError):
                number = int(name)
                if not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
                if _is_listening(number, ports):
                    found.append(stack.enter_context(socket.socket(fileno=os.dup(number))))
        yield found


def _is_listening(number: int, ports: Collection[int]) -> bool:
    borrowed = socket.socket(fileno=number)
    try:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        listening = borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(listening) and borrowed.getsockname()[1] in ports
    finally:
        borrowed.detach()


def _attach(listener: socket.socket) -> None:
    program = b''.join(struct.pack('HBBI', *instruction) for instruction in _NO_SYN)
    memory = ctypes.create_string_buffer(program)
    given = struct.pack('HP', len(_NO_SYN), ctypes.addressof(memory))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)


def _queue_length(listener: socket.socket) -> int:
    """Returns how many connections wait to be accepted."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    length: int = struct.unpack_from('I', info, _QUEUE_AT)[0]
    return length
