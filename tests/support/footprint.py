"""The installed size of a virtual environment, without installers and test tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOT_COUNTED = frozenset({'pip', 'setuptools', 'wheel', '_virtualenv', 'distutils-precedence'})


@dataclass(frozen=True)
class Footprint:
    """What an environment takes on disk."""

    size_mb: float
    distributions: tuple[str, ...]
    """Names of the installed distributions."""

    @property
    def third_party(self) -> tuple[str, ...]:
        """The distributions that aren't ours."""
        return tuple(name for name in self.distributions if name != 'jina' and not name.startswith('jina-'))


def site_packages(environment: Path) -> Path:
    """The folder of installed packages of a virtual environment."""
    (folder,) = environment.glob('lib/python3.*/site-packages')
    return folder


def footprint(environment: Path) -> Footprint:
    """Measures all of ``site-packages`` except for installers and compiled byte code."""
    folder = site_packages(environment)
    size = 0
    for entry in folder.iterdir():
        if entry.name.partition('-')[0].removesuffix('.py') in NOT_COUNTED or entry.suffix == '.pth':
            continue
        files = entry.rglob('*') if entry.is_dir() else [entry]
        size += sum(
            file.stat().st_size for file in files if file.is_file() and not file.is_symlink() and file.suffix != '.pyc'
        )
    names = sorted(
        entry.name.partition('-')[0].replace('_', '-').lower()
        for entry in folder.glob('*.dist-info')
        if entry.name.partition('-')[0] not in NOT_COUNTED
    )
    return Footprint(size / 2**20, tuple(names))
