"""The exporters that come with later versions: each refuses with what to do instead."""

from __future__ import annotations

import os
from typing import NoReturn

from jina.core.errors import NotSupportedError

__all__ = ['export_docker_compose', 'export_kubernetes', 'refuse']

_ADVICE = {
    'kubernetes': 'deploy an image that runs `jina executor --uses config.yml` with a Deployment and a Service of your own',
    'docker-compose': 'write a service per Executor that runs `jina executor --uses config.yml`',
}


def refuse(kind: str) -> NoReturn:
    """Says that an exporter isn't there yet.

    Raises:
        NotSupportedError: Always.
    """
    raise NotSupportedError(f'{kind!r} export is not available in this version', hint=f'until then, {_ADVICE[kind]}')


def export_kubernetes(flow: object, outpath: str | os.PathLike[str], **settings: object) -> NoReturn:
    """Refuses to write Kubernetes YAML.

    Raises:
        NotSupportedError: Always.
    """
    refuse('kubernetes')


def export_docker_compose(flow: object, outpath: str | os.PathLike[str], **settings: object) -> NoReturn:
    """Refuses to write a Docker Compose file.

    Raises:
        NotSupportedError: Always.
    """
    refuse('docker-compose')
