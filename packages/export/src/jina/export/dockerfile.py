"""A Dockerfile for an Executor or a gateway: small, in two stages, and without root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, TypeAlias

from jina.core.errors import ConfigError
from jina.core.version import __version__

__all__ = ['DEFAULT_BASE', 'dockerfile', 'export_dockerfile']

Kind: TypeAlias = Literal['executor', 'gateway']
DEFAULT_BASE: Final = 'python:3.12-slim'
_DISTRIBUTIONS: Final = {
    'executor': f'"jina-runtime~={__version__}" "jina-client~={__version__}" "jina-telemetry~={__version__}"',
    'gateway': f'"jina-runtime[http,websocket]~={__version__}" "jina-client[http,websocket]~={__version__}" "jina-telemetry~={__version__}"',
}
"""What runs an Executor or a gateway, what ``jina ping`` needs, and what sends traces and metrics."""
_TEXT: Final = """\
# Written by `jina export dockerfile`; yours from now on.
ARG BASE={base}

FROM ${{BASE}} AS build
# For wheels of your own: --build-arg PIP_ARGS="--find-links /build/wheels"
ARG PIP_ARGS=""
COPY . /build
WORKDIR /build
RUN python3 -m venv /opt/jina \\
    && /opt/jina/bin/pip install --no-cache-dir ${{PIP_ARGS}} {distributions} \\
    && if [ -f requirements.txt ]; then /opt/jina/bin/pip install --no-cache-dir ${{PIP_ARGS}} -r requirements.txt; fi \\
    && (/opt/jina/bin/python -m compileall -q -j 0 /opt/jina/lib || true) \\
    && /opt/jina/bin/pip uninstall -q -y pip setuptools \\
    && rm -rf /build/wheels

FROM ${{BASE}}
COPY --from=build /opt/jina /opt/jina
COPY --from=build /build /workdir
ENV PATH=/opt/jina/bin:${{PATH}} PYTHONUNBUFFERED=1 JINA_DEFAULT_WORKSPACE_BASE=/tmp/workspace
WORKDIR /workdir
USER 1000:1000
ENTRYPOINT {entrypoint}
"""


def dockerfile(kind: Kind = 'executor', *, config: str | None = 'config.yml', base: str = DEFAULT_BASE) -> str:
    """The text of a Dockerfile.

    Args:
        kind: What the image runs.
        config: Its YAML file, beside the Dockerfile; None for the gateway that comes with the framework.
        base: Image with Python 3.10 or newer.

    Raises:
        ConfigError: An Executor needs a YAML file.
    """
    if config is None and kind == 'executor':
        raise ConfigError('an image of an Executor needs its YAML file', hint='name it, for example config.yml')
    words = ['jina', kind, *(['--uses', config] if config else [])]
    entrypoint = '[' + ', '.join(f'"{word}"' for word in words) + ']'
    return _TEXT.format(base=base, distributions=_DISTRIBUTIONS[kind], entrypoint=entrypoint)


def export_dockerfile(
    outpath: str | os.PathLike[str],
    *,
    kind: Kind = 'executor',
    config: str | None = 'config.yml',
    base: str = DEFAULT_BASE,
) -> Path:
    """Writes a Dockerfile.

    Args:
        outpath: The file, or the folder that gets a file ``Dockerfile``.
        kind: What the image runs.
        config: Its YAML file, beside the Dockerfile; None for the gateway that comes with the framework.
        base: Image with Python 3.10 or newer.

    Returns:
        The file.

    Raises:
        ConfigError: An Executor needs a YAML file, or the file exists already.
    """
    path = Path(outpath)
    if path.is_dir():
        path /= 'Dockerfile'
    if path.exists():
        raise ConfigError(f'{path} exists already', hint='remove it, or name another file')
    path.write_text(dockerfile(kind, config=config, base=base))
    return path
