"""Exported ServiceMonitors, held against models that are made from the schemas of the Prometheus operator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from jina import Flow

from tests.support.requirements import bootstrap

Check: TypeAlias = 'Callable[..., list[str]]'
_MODELS = 'cloudcoil-models-prometheus-operator>=0.80'
_CHECK = """\
import json, sys
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
from pydantic import ValidationError

def fault(monitor):
    try:
        model = ServiceMonitor.model_validate(monitor)
    except ValidationError as error:
        return str(error)
    kept = model.model_dump(by_alias=True, exclude_none=True, mode='json')  # unknown names are dropped
    return '' if kept == monitor else f'{monitor} has more than {kept}'

print(json.dumps([fault(one) for one in json.load(sys.stdin)]))
"""


WRONG: list[dict[str, Any]] = [{'interval': '15 seconds'}, {'prt': 'metrics'}, {'port': 9090}]


@pytest.fixture(scope='module')
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """Says what is wrong with each ServiceMonitor. The models are apart, since they bring a plug-in for pytest."""
    folder = tmp_path_factory.mktemp('models') / 'env'
    bootstrap.uv('venv', '--quiet', '--python', sys.executable, folder)
    python = folder / 'bin' / 'python'
    bootstrap.uv('pip', 'install', '--quiet', '--python', python, _MODELS)

    def run(*monitors: dict[str, Any]) -> list[str]:
        done = subprocess.run(
            [python, '-c', _CHECK], input=json.dumps(monitors), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return run


@pytest.fixture
def exported(tmp_path: Path) -> list[dict[str, Any]]:
    """All objects of a Flow with ``monitoring``."""
    flow = (
        Flow(monitoring=True, port_monitoring=9100)
        .add(name='encoder', uses='docker://encoder', replicas=2)
        .add(name='indexer', uses='docker://indexer', shards=2)
    )
    flow.to_kubernetes_yaml(tmp_path, k8s_namespace='search')
    return [one for file in sorted(tmp_path.rglob('*.yml')) for one in yaml.safe_load_all(file.read_text())]


def test_monitors_fit_the_schema_and_lead_to_a_port_of_a_service(exported: list[dict[str, Any]], check: Check) -> None:
    monitors = [one for one in exported if one['kind'] == 'ServiceMonitor']
    services = [one for one in exported if one['kind'] == 'Service']
    assert len(monitors) == len(services) == 5
    assert not any(faults := check(*monitors)), faults
    for monitor in monitors:
        wanted = monitor['spec']['selector']['matchLabels'].items()
        (service,) = [one for one in services if wanted <= one['metadata']['labels'].items()]
        assert service['metadata']['namespace'] == monitor['metadata']['namespace']
        ports = {port['name']: port['port'] for port in service['spec']['ports']}
        (endpoint,) = monitor['spec']['endpoints']
        assert ports[endpoint['port']] == (9100 if service['metadata']['name'] == 'gateway' else 9090)


def test_what_does_not_fit_is_noticed(exported: list[dict[str, Any]], check: Check) -> None:
    good = next(one for one in exported if one['kind'] == 'ServiceMonitor')
    wrong = [{**good, 'spec': {**good['spec'], 'endpoints': [{'port': 'metrics', **one}]}} for one in WRONG]
    assert [bool(fault) for fault in check(good, *wrong)] == [False, True, True, True]
