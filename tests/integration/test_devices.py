"""Which GPU an Executor works on: its own argument, and the variable that CUDA reads. No GPU is needed to see both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jina import Deployment, Executor, Flow, requests

VARIABLE = 'CUDA_VISIBLE_DEVICES'
MODULE = f"""
import os
from jina import Executor, requests

AT_IMPORT = os.environ.get('{VARIABLE}')

class Placed(Executor):
    def __init__(self, device='cpu', *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.device, self.at_start = device, os.environ.get('{VARIABLE}')

    @requests(on='/where')
    def where(self, **kwargs):
        found = [AT_IMPORT, self.at_start, os.environ.get('{VARIABLE}')]
        return {{'device': self.device, 'visible': found}}
"""


class OfThisModule(Executor):
    def __init__(self, device: str = 'cpu', *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.device, self.at_start = device, os.environ.get(VARIABLE)

    @requests(on='/where')
    def where(self, **kwargs: Any) -> dict[str, Any]:
        return {'device': self.device, 'visible': [self.at_start, os.environ.get(VARIABLE)]}


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / 'placed.py').write_text(MODULE)
    config = tmp_path / 'config.yml'
    config.write_text('jtype: Placed\npy_modules: [placed.py]\n')
    return config


def where(service: Any) -> dict[str, Any]:
    (response,) = service.post('/where', return_responses=True)
    return dict(response.parameters['__results__'])


def test_each_executor_of_a_flow_sees_its_own_devices(placed: Path) -> None:
    flow = (
        Flow()
        .add(name='first', uses=str(placed), uses_with={'device': 'cuda'}, env={VARIABLE: 0})
        .add(name='second', uses=str(placed), uses_with={'device': 'cuda:1'}, env={VARIABLE: '2,3'})
        .add(name='third', uses=str(placed))
    )
    with flow:
        found = where(flow)
    assert found == {
        'first/rep-0': {'device': 'cuda', 'visible': ['0', '0', '0']},
        'second/rep-0': {'device': 'cuda:1', 'visible': ['2,3', '2,3', '2,3']},
        'third/rep-0': {'device': 'cpu', 'visible': [None, None, None]},
    }
    assert VARIABLE not in os.environ


def test_a_deployment_inherits_the_variable_of_the_program(placed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, '5')
    with Deployment(uses=OfThisModule) as deployment:
        assert where(deployment) == {'executor/rep-0': {'device': 'cpu', 'visible': ['5', '5']}}
    with Deployment(uses=OfThisModule, uses_with={'device': 'cuda'}, env={VARIABLE: 6}) as deployment:
        assert where(deployment) == {'executor/rep-0': {'device': 'cuda', 'visible': ['6', '6']}}


def test_a_yaml_file_names_device_and_variable(placed: Path) -> None:
    text = f'jtype: Deployment\nwith:\n  uses: {placed}\n  uses_with: {{device: cuda}}\n  env: {{{VARIABLE}: 1}}\n'
    with Deployment.load_config(text) as deployment:
        assert where(deployment) == {'executor/rep-0': {'device': 'cuda', 'visible': ['1', '1', '1']}}
