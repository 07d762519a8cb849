"""TLS: reading of certificates and keys, with errors that name the file."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

from jina.core.errors import ConfigError

__all__ = ['certificate_name', 'client_context', 'read_pem', 'server_context', 'server_pair']


def server_context(certfile: str, keyfile: str) -> ssl.SSLContext:
    """Returns what encrypts the connections of a server.

    Args:
        certfile: PEM file with the certificate and those of its issuers.
        keyfile: PEM file with its private key.

    Raises:
        ConfigError: A file is missing or holds something else, or the key belongs to another certificate.
    """
    read_pem(certfile, 'ssl_certfile', 'CERTIFICATE')
    read_pem(keyfile, 'ssl_keyfile', 'PRIVATE KEY')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def refuse_password() -> str:
        raise ConfigError(
            f'ssl_keyfile {keyfile!r} has a password', hint='give a key without one: openssl pkey -in ...'
        )

    try:
        context.load_cert_chain(certfile, keyfile, refuse_password)
    except ssl.SSLError as error:
        if 'KEY_VALUES_MISMATCH' in str(error) or 'KEY_TYPE_MISMATCH' in str(error):
            raise ConfigError(
                f'the key in ssl_keyfile {keyfile!r} does not belong to the certificate in ssl_certfile {certfile!r}',
                hint='give the two files that were made together; the certificate of the server comes first in its file',
            ) from error
        raise ConfigError(
            f'ssl_certfile {certfile!r} and ssl_keyfile {keyfile!r} can not be used: {error}',
            hint='both must be PEM files',
        ) from error
    return context


def server_pair(certfile: str, keyfile: str) -> tuple[bytes, bytes]:
    """Returns key and certificates for a gRPC server.

    Raises:
        ConfigError: As for :func:`server_context`.
    """
    server_context(certfile, keyfile)  # gRPC itself says only that it failed
    return Path(keyfile).read_bytes(), Path(certfile).read_bytes()


def client_context(cafile: str | None) -> ssl.SSLContext:
    """Returns what a client checks certificates with.

    Args:
        cafile: PEM file with what is trusted; None for what the system trusts, or the file in ``SSL_CERT_FILE``.

    Raises:
        ConfigError: The file is missing or holds no certificate.
    """
    if cafile is None:
        # Reading what the system trusts takes a while; these variables change what that is.
        return _system_context(os.environ.get('SSL_CERT_FILE'), os.environ.get('SSL_CERT_DIR'))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC: a certificate may be trusted without its issuer
    try:
        context.load_verify_locations(cadata=read_pem(cafile, 'ssl_cafile', 'CERTIFICATE').decode('ascii', 'replace'))
    except ssl.SSLError as error:
        raise ConfigError(f'ssl_cafile {cafile!r} can not be used: {error}', hint='give a PEM file') from error
    return context


@lru_cache(maxsize=4)
def _system_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return ssl.create_default_context()


def read_pem(path: str, option: str, kind: str) -> bytes:
    """Reads a PEM file.

    Args:
        path: The file.
        option: Option that names it, for messages.
        kind: What it must hold: ``CERTIFICATE`` or ``PRIVATE KEY``.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f'{option} {path!r} can not be read: {error.strerror}', hint='check the path') from error
    if f'{kind}-----'.encode() not in content:
        raise ConfigError(f'{option} {path!r} holds no {kind.lower()} as PEM', hint='give another file')
    return content


def certificate_name(certfile: str) -> str | None:
    """Returns a name that the first certificate in a file is valid for, None if it has none."""
    decode: Any = getattr(getattr(ssl, '_ssl', None), '_test_decode_cert', None)  # what the ssl module has for that
    if decode is None:
        return None
    names = decode(certfile).get('subjectAltName', ())
    found = [value for kind, value in names if kind == 'DNS'] or [
        value for kind, value in names if kind == 'IP Address'
    ]
    return found[0].replace('*', 'any', 1) if found else None
