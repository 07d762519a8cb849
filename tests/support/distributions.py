"""The distributions of this repository, as their files describe them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Distribution:
    """One folder of ``packages/``."""

    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """Its ``pyproject.toml``."""
        return tomllib.loads((self.folder / 'pyproject.toml').read_text())

    @property
    def name(self) -> str:
        """Its name in the registry, such as ``jina-core``."""
        return str(self.manifest['project']['name'])

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.manifest['project']['version'])

    @property
    def requirements(self) -> list[str]:
        """What it requires, extras included."""
        project = self.manifest['project']
        extras = project.get('optional-dependencies', {}).values()
        return [*project['dependencies'], *(requirement for extra in extras for requirement in extra)]

    @property
    def siblings(self) -> dict[str, str]:
        """The distributions of this repository that it requires, with the demanded versions."""
        found = [re.fullmatch(r'(jina(?:-\w+)?)(?:\[[\w,]+\])?(.*)', requirement) for requirement in self.requirements]
        return {match[1]: match[2] for match in found if match}

    @property
    def sources(self) -> list[Path]:
        """Its Python files, generated ones left out."""
        files = sorted(self.folder.glob('src/**/*.py'))
        return [file for file in files if '_proto' not in file.parts]


def distributions() -> list[Distribution]:
    """All seven, by folder name."""
    return [Distribution(file.parent) for file in sorted(ROOT.glob('packages/*/pyproject.toml'))]


def module_names() -> Iterator[str]:
    """The dotted names of all modules of all distributions, the generated ones left out."""
    for distribution in distributions():
        for file in distribution.sources:
            parts = file.relative_to(distribution.folder / 'src').with_suffix('').parts
            yield '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
