"""Executor classes served, exported or fetched by themselves: what core alone can tell."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from jina.core.enums import StandaloneExecutorType
from jina.core.errors import ConfigError, MissingExtraError, NotSupportedError
from jina.core.executor import Executor

IMAGE = 'docker://my_executor'
CALLS: dict[str, Callable[..., object]] = {
    'serve': lambda **options: Executor.serve(**options),
    'kubernetes': lambda **options: Executor.to_kubernetes_yaml(IMAGE, 'folder', **options),
    'docker compose': lambda **options: Executor.to_docker_compose_yaml(IMAGE, **options),
}


@pytest.mark.parametrize('name', CALLS)
def test_the_distribution_that_is_needed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.import_module

    def without_orchestrate(path: str, *arguments: Any) -> Any:
        if path.startswith('jina.orchestrate'):
            raise ModuleNotFoundError(f'No module named {path!r}', name=path)
        return find(path, *arguments)

    monkeypatch.setattr(importlib, 'import_module', without_orchestrate)
    with pytest.raises(ImportError) as caught:
        CALLS[name]()
    assert isinstance(caught.value, MissingExtraError)
    assert 'run: pip install "jina-orchestrate"' in str(caught.value)


@pytest.mark.parametrize('name', ['kubernetes', 'docker compose'])
def test_wrong_executor_types_are_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CALLS[name](executor_type='private')
    assert str(caught.value) == "executor_type='private' is not valid; give EXTERNAL or SHARED"


def test_executor_types_are_found_by_name() -> None:
    from jina.enums import StandaloneExecutorType as ByOldPath

    assert ByOldPath is StandaloneExecutorType
    assert StandaloneExecutorType('shared') is StandaloneExecutorType.SHARED


@pytest.mark.parametrize(
    ('uri', 'error', 'message'),
    [
        (
            'jinaai://jina-ai/Hello',
            NotSupportedError,
            'jina-ai/Hello:latest can not be fetched from the hub: this version does not use hosted services; '
            "download its source and call Executor.load_config('<folder>/config.yml')",
        ),
        (
            'jinaai+docker://jina-ai/Hello:1',
            NotSupportedError,
            "'jinaai+docker://jina-ai/Hello:1' is a container image, which can not become an object in this process; "
            'name its source: jinaai://jina-ai/Hello:1',
        ),
        ('docker://x', ConfigError, "'docker://x' names no Executor of the hub; write jinaai://<user>/<name>[:<tag>]"),
        ('Hello', ConfigError, "'Hello' names no Executor of the hub; write jinaai://<user>/<name>[:<tag>]"),
    ],
)
def test_from_hub_says_what_to_do(uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        Executor.from_hub(uri, install_requirements=True, force_update=True)
    assert str(caught.value) == message
