"""What really answers at an address, for the error of a client that was not understood there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
from dataclasses import dataclass
from typing import Final

from jina.core.config import PodAddress
from jina.core.enums import ProtocolType
from jina.core.errors import ConnectError

__all__ = ['Finding', 'explained', 'probe_port']

_LIMIT_S: Final = 2.0
_FIRST_BYTES: Final = 12
_NAMES: Final = {ProtocolType.GRPC: 'gRPC', ProtocolType.HTTP: 'HTTP', ProtocolType.WEBSOCKET: 'WebSocket'}
_SETTINGS, _GO_AWAY = 4, 7


@dataclass(frozen=True)
class Finding:
    """What was found at a port."""

    listens: bool
    """False if nothing accepts connections."""
    protocol: ProtocolType | None = None
    """What it speaks; None if that isn't known."""
    tls: bool = False
    """Whether it speaks that behind TLS."""

    def advice(self, asked: PodAddress) -> str:
        """Returns what to do for a client that asked for something else; empty if the port speaks just that."""
        if not self.listens:
            return f'nothing listens on port {asked.port} of {asked.host}: start the server, or correct host and port'
        if self.protocol is None or (self.protocol, self.tls) == (asked.protocol, asked.tls):
            return ''
        found, wanted = _NAMES[self.protocol], _NAMES[asked.protocol]
        if self.protocol == asked.protocol:
            what = f'the server uses TLS for {found}' if self.tls else 'the server does not use TLS'
        else:
            what = f'port {asked.port} speaks {found}{" with TLS" if self.tls else ""}, not {wanted}'
        return f"{what}: use Client(host='{PodAddress(self.protocol, asked.host, asked.port, self.tls)}')"


async def explained(error: ConnectError, address: PodAddress) -> ConnectError:
    """Returns the error of a failed connection with what really answers at the address.

    Args:
        error: What the transport raised.
        address: Where the client wanted to go.
    """
    advice = (await probe_port(address.host, address.port)).advice(address)
    if not advice:
        return error
    message = str(error).removesuffix(f'; {error.hint}') if error.hint else str(error)
    return ConnectError(message, hint=advice, code=error.code)


async def probe_port(host: str, port: int, limit_s: float = _LIMIT_S) -> Finding:
    """Asks a port for a WebSocket, in plain text and then behind TLS, and judges what it is by the answer.

    Args:
        host: Name or number of the machine.
        port: The port.
        limit_s: Seconds that this may take.
    """
    try:
        return await asyncio.wait_for(_probe(host, port), limit_s)
    except asyncio.TimeoutError:
        return Finding(True)


async def _probe(host: str, port: int) -> Finding:
    try:
        protocol = _judge(await _first_bytes(host, port, None))
    except ConnectionRefusedError:
        return Finding(False)
    except OSError:
        protocol = None
    if protocol is not None:
        return Finding(True, protocol)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is told that needs a trusted server
    context.set_alpn_protocols(['h2', 'http/1.1'])
    try:
        protocol = _judge(await _first_bytes(host, port, context))
    except OSError:
        return Finding(True)
    return Finding(True, protocol, tls=True)


async def _first_bytes(host: str, port: int, context: ssl.SSLContext | None) -> bytes:
    """Returns the beginning of the answer to a WebSocket handshake; empty if there is none."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f'GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
            f'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: bytes\r\n\r\n'.encode()
        )
        return await reader.readexactly(_FIRST_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _judge(answer: bytes) -> ProtocolType | None:
    if answer.startswith(b'HTTP/1'):
        return ProtocolType.WEBSOCKET if answer[9:12] == b'101' else ProtocolType.HTTP
    if len(answer) >= 9 and answer[3] in (_SETTINGS, _GO_AWAY) and not any(answer[5:9]):
        return ProtocolType.GRPC
    return None
