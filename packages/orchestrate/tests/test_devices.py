from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docarray import DocList
from docarray.documents import TextDoc
from jina import Deployment, Executor, requests
from jina.core.config import DeploymentOptions
from jina.core.errors import ConfigError
from jina.orchestrate import devices
from jina.orchestrate.pod_options import around_options, replica_options

UUIDS = ['GPU-0aaaaaaa-74d2-7297-d557-12771b6a79d5', 'GPU-0bbbbbbb-74d2-7297-d557-12771b6a79d5']


@pytest.fixture(autouse=True)
def _no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine has no ``nvidia-smi``, whatever it is."""
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    monkeypatch.delenv('CUDA_TOTAL_DEVICES', raising=False)
    devices._listed_devices.cache_clear()


def given_out(value: str, replicas: int = 5) -> list[str | None]:
    return [devices.visible_device({'CUDA_VISIBLE_DEVICES': value}, replica) for replica in range(replicas)]


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('RR', ['0', '1', '2', '0', '1']),
        ('RR0:2', ['0', '1', '0', '1', '0']),
        ('RR1:3', ['1', '2', '1', '2', '1']),
        ('RR1:', ['1', '2', '1', '2', '1']),
        ('RR:2', ['0', '1', '0', '1', '0']),
        ('RR[1:3]', ['1', '2', '1', '2', '1']),
        ('RR-2:', ['1', '2', '1', '2', '1']),
        ('RR0:9', ['0', '1', '2', '0', '1']),
        ('RR2', ['2'] * 5),
        ('RR1,3', ['1', '3', '1', '3', '1']),
        ('RR1, 3', ['1', '3', '1', '3', '1']),
        (f'RR{",".join(UUIDS)}', [UUIDS[0], UUIDS[1], UUIDS[0], UUIDS[1], UUIDS[0]]),
        (f'RR:{",".join(UUIDS)}', [UUIDS[0], UUIDS[1], UUIDS[0], UUIDS[1], UUIDS[0]]),
        ('0,1', [None] * 5),
        ('', [None] * 5),
    ],
)
def test_forms(monkeypatch: pytest.MonkeyPatch, value: str, expected: list[str | None]) -> None:
    monkeypatch.setenv('CUDA_TOTAL_DEVICES', '3')
    assert given_out(value) == expected


def test_the_number_of_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert devices.device_count() == 0
    assert given_out('RR', 2) == ['', ''], 'without GPUs nothing is visible'
    assert given_out('RR1:3', 3) == ['1', '2', '1'], 'a slice with an end needs no number'
    monkeypatch.setenv('CUDA_TOTAL_DEVICES', '4')
    assert devices.device_count() == 4
    tool = tmp_path / 'nvidia-smi'
    tool.write_text('#!/bin/sh\necho "GPU 0: NVIDIA A (UUID: GPU-1)"\necho "GPU 1: NVIDIA A (UUID: GPU-2)"\n')
    tool.chmod(0o755)
    devices._listed_devices.cache_clear()
    assert devices.device_count() == 2
    monkeypatch.setenv('CUDA_TOTAL_DEVICES', 'many')
    tool.write_text('#!/bin/sh\nexit 9\n')
    devices._listed_devices.cache_clear()
    with pytest.raises(ConfigError, match="CUDA_TOTAL_DEVICES='many' is no number"):
        devices.device_count()


@pytest.mark.parametrize('value', ['RRx', 'RR1,x', 'RR1:2:3', 'RR,'])
def test_other_forms_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=f"CUDA_VISIBLE_DEVICES='{value}' names no GPUs; use RR, RR0:2"):
        given_out(value)


def test_every_process_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'RR0:2')
    options = DeploymentOptions(replicas=3, shards=2, uses_after='A', env={'A': 'b'})
    for shard in range(2):
        envs = [option.env for option in replica_options(options, is_public=False, shard=shard)]
        assert envs == [{'A': 'b', 'CUDA_VISIBLE_DEVICES': device} for device in '010']
    assert around_options(options)[0].env == {'A': 'b', 'CUDA_VISIBLE_DEVICES': '0'}
    own = options.model_copy(update={'env': {'CUDA_VISIBLE_DEVICES': 'RR5,6'}})
    found = [(option.env or {})['CUDA_VISIBLE_DEVICES'] for option in replica_options(own, is_public=False)]
    assert found == ['5', '6', '5'], 'what the Deployment says comes first'


class Device(Executor):
    @requests
    def tell(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        import os

        for doc in docs:
            doc.text = os.environ['CUDA_VISIBLE_DEVICES']
        return docs


def test_replicas_see_their_gpu() -> None:
    with Deployment(uses=Device, replicas=2, env={'CUDA_VISIBLE_DEVICES': 'RR1,3'}, quiet=True) as deployment:
        docs = deployment.post('/', DocList[TextDoc]([TextDoc()] * 20), request_size=1, return_type=DocList[TextDoc])
        assert {doc.text for doc in docs} == {'1', '3'}
        deployment.scale(4)
        devices_of = [pod._arguments[0].env['CUDA_VISIBLE_DEVICES'] for pod in deployment._workers]
        assert devices_of == ['1', '3', '1', '3']
