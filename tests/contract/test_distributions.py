"""The seven distributions agree with each other and with the layers."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

import pytest
from jina.core.version import __version__

from tests.support.distributions import ROOT, Distribution, distributions, tomllib

BELOW = {
    'jina-core': set(),
    'jina-telemetry': {'jina-core'},
    'jina-runtime': {'jina-core', 'jina-telemetry'},
    'jina-client': {'jina-core', 'jina-telemetry'},
    'jina-export': {'jina-core', 'jina-telemetry'},
    'jina-orchestrate': {'jina-core', 'jina-telemetry', 'jina-runtime', 'jina-client', 'jina-export'},
}
BELOW['jina'] = {*BELOW}
"""What each distribution may require: the layers below it."""
CAPS: dict[str, str] = {}
"""Upper caps of third-party requirements, each with the test that fails without it."""

each = pytest.mark.parametrize('distribution', distributions(), ids=lambda distribution: distribution.name)


def test_all_seven_are_there() -> None:
    assert {distribution.name for distribution in distributions()} == set(BELOW)


@each
def test_one_version(distribution: Distribution) -> None:
    assert distribution.version == __version__


@each
def test_siblings_are_below_and_of_the_same_minor_version(distribution: Distribution) -> None:
    minor = __version__.rpartition('.')[0]
    assert set(distribution.siblings) <= BELOW[distribution.name]
    assert set(distribution.siblings.values()) <= {f'~={minor}.0'}


@each
def test_third_party_requirements_have_a_floor_and_no_cap(distribution: Distribution) -> None:
    for requirement in distribution.requirements:
        if not requirement.startswith('jina'):
            version = requirement.partition(';')[0]
            assert '>=' in version, f'{requirement}: no lower bound'
            assert re.search(r'[<~!]|==', version) is None or requirement in CAPS, (
                f'{requirement}: a cap needs a failing test'
            )


@each
def test_each_requirement_says_what_it_is_for(distribution: Distribution) -> None:
    lines = (distribution.folder / 'pyproject.toml').read_text().splitlines()
    for requirement in distribution.requirements:
        found = [line for line in lines if line.strip().startswith(f'"{requirement}"')]  # several extras may need it
        assert found
        assert all('  # ' in line for line in found), f'{requirement}: say what it is for'


@each
def test_files_that_every_distribution_has(distribution: Distribution) -> None:
    readme = (distribution.folder / 'README.md').read_text().splitlines()
    assert 5 <= len(readme) <= 50
    packages = [
        folder for folder in distribution.folder.glob('src/jina/*') if folder.is_dir() and folder.name[0] != '_'
    ]
    assert len(packages) == (0 if distribution.name == 'jina' else 1)
    for package in packages:
        assert (package / 'py.typed').exists()
        assert (package / '__init__.py').exists()
    has_facade = (distribution.folder / 'src' / 'jina' / '__init__.py').exists()
    assert has_facade == (distribution.name == 'jina-core')


@each
def test_each_has_tests(distribution: Distribution) -> None:
    names = {file.name for file in distribution.folder.glob('tests/**/test_*.py')}
    assert names, f'{distribution.name} has no tests'


@each
def test_entry_points_can_be_loaded(distribution: Distribution) -> None:
    for group, declared in distribution.manifest['project'].get('entry-points', {}).items():
        installed = {entry.name: entry for entry in entry_points(group=group)}
        for name, value in declared.items():
            assert installed[name].value == value
            assert installed[name].load() is not None


def test_protobuf_compiler_is_the_floor_of_grpcio() -> None:
    # generated modules refuse a runtime older than their compiler, so the pinned compiler is what the floor promises
    (core,) = (distribution for distribution in distributions() if distribution.name == 'jina-core')
    groups = tomllib.loads((ROOT / 'pyproject.toml').read_text())['dependency-groups']
    (pin,) = (re.fullmatch(r'grpcio-tools==([\d.]+)', item) for item in groups['protos'])
    assert pin is not None
    (floor,) = (re.fullmatch(r'grpcio>=([\d.]+)', item) for item in core.requirements if item.startswith('grpcio>'))
    assert floor is not None
    major, minor = floor[1].split('.')[:2]
    assert pin[1].split('.')[:2] == [major, minor]
