"""Health checks of a gateway that runs in this process: is its first port ready?"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final, Protocol

import grpc
import grpc.aio
from jina.core.config import PodAddress
from jina.core.enums import ProtocolType
from jina.core.errors import StartupError
from jina.runtime.health import SERVICE_NAME, ServingStatus, decode_status

__all__ = ['HealthProbe', 'probe_of']

_TRY_S: Final = 5.0
_FOREIGN_S: Final = 3.0
"""Seconds of connections without an answer in the right protocol, after which it is the wrong one."""
_ANY: Final = {'0.0.0.0': '127.0.0.1', '': '127.0.0.1', '::': '::1'}


class HealthProbe(Protocol):
    """Asks once whether a server is ready."""

    async def check(self) -> str:
        """Returns why it isn't ready yet; an empty text if it is.

        Raises:
            StartupError: It will never be.
        """
        ...


def probe_of(address: PodAddress, owner: str) -> HealthProbe:
    """Returns what checks a server.

    Args:
        address: Where it listens.
        owner: Name of its class, for messages.
    """
    return _GrpcProbe(address, owner) if address.protocol is ProtocolType.GRPC else _HttpProbe(address, owner)


class _Patience:
    """Notices when a port answers in another protocol for too long."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_over(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        return now - self._since > _FOREIGN_S

    def plain(self, owner: str, address: PodAddress, error: ssl.SSLError) -> str:
        """Returns why a server that should encrypt isn't ready.

        Raises:
            StartupError: It doesn't encrypt.
        """
        if self.is_over():
            raise StartupError(
                f'{owner} does not encrypt on port {address.port}, and ssl_certfile is given: {error.reason}',
                hint='give runtime_args.ssl_certfile and runtime_args.ssl_keyfile to its server, or leave them out',
            )
        return f'the port answers, but not with TLS ({error.reason})'


class _HttpProbe:
    def __init__(self, address: PodAddress, owner: str) -> None:
        self._address = address
        self._host = _ANY.get(address.host, address.host.strip('[]'))
        self._owner = owner
        self._patience = _Patience()

    async def check(self) -> str:
        try:
            status = await asyncio.wait_for(self._get(), _TRY_S)
        except asyncio.TimeoutError:
            return f'GET / was not answered within {_TRY_S:g} s'
        except ssl.SSLError as error:
            return self._patience.plain(self._owner, self._address, error)
        except OSError as error:
            return f'nothing listens on port {self._address.port} ({error.strerror or error})'
        if status == 0:
            if self._patience.is_over():
                raise StartupError(
                    f'{self._owner} does not answer GET / on port {self._address.port} in HTTP',
                    hint="give the protocol that it speaks there, for example protocol='grpc'",
                )
            return 'the port answers, but not in HTTP'
        if status == 200:
            return ''
        if status < 500:
            raise StartupError(
                f'{self._owner} answers GET / with status {status}',
                hint='a gateway has to answer 200 there when it is ready: add such a route',
            )
        return f'GET / answers {status}'

    async def _get(self) -> int:
        """Returns the status of ``GET /``; 0 if the answer is no HTTP."""
        context = _unverified() if self._address.tls else None
        reader, writer = await asyncio.open_connection(self._host, self._address.port, ssl=context)
        try:
            writer.write(b'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
            line = await reader.readline()
        except (ConnectionResetError, BrokenPipeError, ValueError):
            return 0
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        version, _, rest = line.partition(b' ')
        code = rest[:3]
        return int(code) if version.startswith(b'HTTP/') and code.isdigit() else 0


class _GrpcProbe:
    def __init__(self, address: PodAddress, owner: str) -> None:
        self._address = address
        self._host = _ANY.get(address.host, address.host.strip('[]'))
        self._owner = owner
        self._patience = _Patience()

    async def check(self) -> str:
        context = _unverified('h2') if self._address.tls else None
        try:
            connecting = asyncio.open_connection(self._host, self._address.port, ssl=context)
            _, writer = await asyncio.wait_for(connecting, _TRY_S)
        except ssl.SSLError as error:
            return self._patience.plain(self._owner, self._address, error)
        except (OSError, asyncio.TimeoutError) as error:
            return f'nothing listens on port {self._address.port} ({error})'
        writer.close()
        # The name in the certificate isn't known here: a server that offers HTTP/2 over TLS has to do.
        return '' if self._address.tls else await self._ask()

    async def _ask(self) -> str:
        host = f'[{self._host}]' if ':' in self._host else self._host
        options = [('grpc.use_local_subchannel_pool', 1), ('grpc.enable_http_proxy', 0)]
        async with grpc.aio.insecure_channel(f'{host}:{self._address.port}', options=options) as channel:
            ask = channel.unary_unary(f'/{SERVICE_NAME}/Check')  # type: ignore[call-arg]
            try:
                status = decode_status(await ask(b'', timeout=_TRY_S))
            except grpc.aio.AioRpcError as error:
                return self._judge(error)
        return '' if status is ServingStatus.SERVING else f'its health is {status.name}'

    def _judge(self, error: grpc.aio.AioRpcError) -> str:
        if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
            raise StartupError(
                f'{self._owner} has no health service on port {self._address.port}: {error.details()}',
                hint='add the servicer of grpcio-health-checking to its gRPC server',
            )
        if self._patience.is_over():
            raise StartupError(
                f'{self._owner} does not answer health checks on port {self._address.port} in gRPC: {error.details()}',
                hint="give the protocol that it speaks there, for example protocol='http'",
            )
        return f'the port answers, but not in gRPC ({error.details()})'


def _unverified(*protocols: str) -> ssl.SSLContext:
    """TLS without a look at the certificate: it is this very process that answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
