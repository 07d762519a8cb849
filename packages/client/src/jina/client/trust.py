"""Which certificate of a server a client trusts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ['SYSTEM_TRUST', 'TlsTrust', 'trust_hint']


@dataclass(frozen=True)
class TlsTrust:
    """What is trusted.

    Attributes:
        cafile: PEM file with certificates of issuers; None for those of the system.
        server_name: Name that the certificate must have; None for that of the host.
    """

    cafile: str | None = None
    server_name: str | None = None

    def context(self) -> ssl.SSLContext:
        """Returns what checks certificates.

        Raises:
            ConfigError: The file can't be read or holds no certificate.
        """
        from jina.core.tls import client_context  # noqa: PLC0415 - only with TLS

        return client_context(self.cafile)

    def roots(self) -> bytes | None:
        """Returns the certificates for gRPC; None for those of the system.

        Raises:
            ConfigError: As for :meth:`context`.
        """
        if self.cafile is None:
            return None
        from jina.core.tls import read_pem  # noqa: PLC0415 - only with TLS

        return read_pem(self.cafile, 'ssl_cafile', 'CERTIFICATE')


def trust_hint(reason: object, host: str) -> str:
    """Returns what to do when TLS fails.

    Args:
        reason: What the library says.
        host: Host of the server.
    """
    text = str(reason).lower()
    if 'issuer' in text or 'self-signed' in text or 'self signed' in text or 'certificate signature' in text:
        return 'nobody that is trusted has issued its certificate: give the one of its issuer as ssl_cafile'
    if 'mismatch' in text or 'not valid for' in text or 'hostname verification' in text:
        return f'its certificate is not valid for {host!r}: use another host, or give its name as ssl_server_name'
    return f'does the server use TLS, and is its certificate valid for {host!r}?'


SYSTEM_TRUST = TlsTrust()
"""What the system trusts."""
