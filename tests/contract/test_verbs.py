"""People and CI use the same verbs, and all of them exist."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.distributions import ROOT, distributions, tomllib

HATCH = tomllib.loads((ROOT / 'hatch.toml').read_text())
WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))


def commands(workflow: str) -> list[str]:
    """All shell commands of a workflow's steps."""
    jobs = yaml.safe_load(workflow)['jobs'].values()
    return [step['run'] for job in jobs for step in job['steps'] if 'run' in step]


def scripts(environment: str) -> set[str]:
    return set(HATCH['envs'][environment].get('scripts', {}))


@pytest.mark.parametrize('file', [*WORKFLOWS, ROOT / 'CONTRIBUTING.md'], ids=lambda file: file.name)
def test_verbs_exist(file: object) -> None:
    text = file.read_text()  # type: ignore[attr-defined]
    for environment, script in re.findall(r'hatch run (?:([a-z-]+):)?([a-z]+)', text):
        if script != 'python':
            assert script in scripts(environment or 'default'), f'{environment}:{script}'


def test_final_job_waits_for_all_others() -> None:
    jobs = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']
    assert set(jobs['green']['needs']) == set(jobs) - {'green'}


def test_every_distribution_is_tested_alone_and_published() -> None:
    ci = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']
    release = yaml.safe_load((ROOT / '.github' / 'workflows' / 'release.yml').read_text())['jobs']
    folders = {distribution.folder.name for distribution in distributions()}
    assert set(ci['wheels']['strategy']['matrix']['distribution']) == folders
    names = {distribution.name.replace('-', '_') for distribution in distributions()}
    assert set(release['publish']['strategy']['matrix']['distribution']) == names


def test_python_versions_agree() -> None:
    ci = yaml.safe_load((ROOT / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']
    versions = set(ci['test']['strategy']['matrix']['python'])
    assert versions == set(HATCH['envs']['hatch-test']['matrix'][0]['python'])
    for distribution in distributions():
        floor = min(versions, key=lambda version: int(version.split('.')[1]))
        assert distribution.manifest['project']['requires-python'] == f'>={floor}'
