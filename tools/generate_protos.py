"""Regenerates the committed protobuf code and descriptors of jina-core from ``protos/``.

Needs ``grpcio-tools`` in exactly the version that jina-core declares as the floor of ``grpcio``: generated modules
refuse to load with a protobuf older than the one they were generated for, so the floor must be what generates
them. An environment of its own is enough, nothing of this repository has to be installed::

    python -m venv protos-env
    protos-env/bin/pip install grpcio-tools==1.70.0
    protos-env/bin/python tools/generate_protos.py          # writes
    protos-env/bin/python tools/generate_protos.py --check  # exit status 1 and the names of files that differ
    python tools/generate_protos.py --requirement           # prints what to install: grpcio-tools==<floor>
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / 'protos'
SOURCES = ROOT / 'packages/core/src'
PACKAGE = Path('jina/core/_proto')
ENVELOPE = PACKAGE / 'envelope.proto'
PUBLIC = PACKAGE / 'public.binpb'
OUTPUTS = (PACKAGE / 'envelope_pb2.py', PACKAGE / 'envelope_pb2.pyi', PUBLIC)


def required_version() -> str:
    """Returns the version of grpcio-tools to generate with: the floor of grpcio in jina-core's pyproject.toml."""
    text = (ROOT / 'packages/core/pyproject.toml').read_text(encoding='utf-8')
    found = re.search(r'"grpcio>=(\d+)\.(\d+)(?:\.(\d+))?"', text)
    if found is None:
        raise SystemExit('packages/core/pyproject.toml declares no floor for grpcio (expected a line "grpcio>=X.Y")')
    return f'{found[1]}.{found[2]}.{found[3] or 0}'


def check_tools() -> None:
    """Exits with an explanation unless the right grpcio-tools is installed."""
    wanted = required_version()
    try:
        installed = importlib.metadata.version('grpcio-tools')
    except importlib.metadata.PackageNotFoundError:
        installed = 'none'
    if installed != wanted:
        raise SystemExit(
            f'grpcio-tools {wanted} is needed, {installed} is installed in {sys.prefix}; '
            f'run this script with an environment that has it: pip install grpcio-tools=={wanted}'
        )


def generate(target: Path) -> None:
    """Writes all outputs below ``target``, at the paths that they have below ``packages/core/src``."""
    import grpc_tools  # noqa: PLC0415 - only after check_tools() has explained its absence
    from grpc_tools import protoc  # noqa: PLC0415

    (target / PACKAGE).mkdir(parents=True, exist_ok=True)
    includes = [f'-I{PROTOS}', f'-I{Path(grpc_tools.__file__).parent / "_proto"}']
    runs = (
        [f'--python_out={target}', f'--pyi_out={target}', str(ENVELOPE)],
        [f'--descriptor_set_out={target / PUBLIC}', '--include_imports', 'jina.proto'],
    )
    for arguments in runs:
        if protoc.main(['protoc', *includes, *arguments]) != 0:
            raise SystemExit(f'protoc failed: {" ".join(arguments)}')


def differing() -> list[Path]:
    """Returns the committed files that are not what ``protos/`` gives."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        return [
            path
            for path in OUTPUTS
            if not (SOURCES / path).is_file() or (SOURCES / path).read_bytes() != (Path(folder) / path).read_bytes()
        ]


def main() -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(description='Regenerate the protobuf code of jina-core.')
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a committed file is out of date')
    parser.add_argument('--requirement', action='store_true', help='print the pip requirement that this script needs')
    arguments = parser.parse_args()
    if arguments.requirement:
        print(f'grpcio-tools=={required_version()}')
        return 0
    check_tools()
    if not arguments.check:
        generate(SOURCES)
        return 0
    stale = differing()
    for path in stale:
        print(f'{SOURCES.relative_to(ROOT) / path} is out of date; run tools/generate_protos.py', file=sys.stderr)
    return 1 if stale else 0


if __name__ == '__main__':
    sys.exit(main())
