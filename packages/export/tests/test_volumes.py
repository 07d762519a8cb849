"""Volumes, and the storage that Kubernetes is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from jina.core.errors import ConfigError
from jina.export.volumes import StorageClaim, Volume, keeps_workspace_in_a_volume, storage_claim, volumes_of

from .subjects import deployment


def test_forms() -> None:
    options = deployment(volumes=['/srv/models', 'models:/models:ro', 'some/data:/app/data']).options
    found = volumes_of(options)
    assert found == [
        Volume('/srv/models', '/models', '', False),
        Volume('models', '/models', 'ro', True),
        Volume('some/data', '/app/data', '', False),
    ]
    assert [volume.path for volume in found] == ['/srv/models', 'models', str(Path('some/data').absolute())]


@pytest.mark.parametrize('volume', ['/data:', ':/data', '/data:data', '/data:/', '/a:/b:ro:x'])
def test_wrong_forms(volume: str) -> None:
    with pytest.raises(
        ConfigError, match=r"in volumes of 'encoder' can not be mounted; write HOST_PATH:/CONTAINER_PATH"
    ):
        volumes_of(deployment(name='encoder', volumes=[volume]).options)


@pytest.mark.parametrize(('workspace', 'inside'), [('/data/work', True), ('/srv/data', False), (None, False)])
def test_a_workspace_in_a_volume(workspace: str | None, inside: bool) -> None:
    options = deployment(volumes=['/srv/data:/data'], workspace=workspace).options
    assert keeps_workspace_in_a_volume(options) is inside


def test_variables_of_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('ACCESS_MODES', 'STORAGE_CLASS_NAME', 'STORAGE_CAPACITY'):
        monkeypatch.delenv(f'JINA_K8S_{name}', raising=False)
    assert storage_claim() == StorageClaim(('ReadWriteOnce',), 'standard', '10G')
    monkeypatch.setenv('JINA_K8S_ACCESS_MODES', '["ReadWriteMany", "ReadOnlyMany"]')
    monkeypatch.setenv('JINA_K8S_STORAGE_CLASS_NAME', '')
    monkeypatch.setenv('JINA_K8S_STORAGE_CAPACITY', '3Gi')
    assert storage_claim() == StorageClaim(('ReadWriteMany', 'ReadOnlyMany'), '', '3Gi')


@pytest.mark.parametrize('text', ['ReadWriteOnce', '"ReadWriteOnce"', '[]', '[1]', '{"a": 1}'])
def test_wrong_access_modes(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv('JINA_K8S_ACCESS_MODES', text)
    with pytest.raises(ConfigError, match=r'JINA_K8S_ACCESS_MODES is .*; write a list in JSON'):
        storage_claim()
