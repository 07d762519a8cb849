"""URIs of images and of the hub."""

from __future__ import annotations

import pytest
from jina.core.errors import ConfigError, ImageNameError, NotSupportedError
from jina.core.executor import Executor
from jina.core.remote_executor import RemoteExecutor


@pytest.mark.parametrize(
    ('uri', 'registry', 'form', 'label'),
    [
        ('docker://my_executor', 'docker', 'image', 'my_executor:latest'),
        ('docker://localhost:5000/team/my-executor:1.2', 'docker', 'image', 'localhost:5000/team/my-executor:1.2'),
        ('jinaai://jina-ai/Hello', 'hub', 'source', 'jina-ai/Hello:latest'),
        (' jinaai://my-username/MyExec/ ', 'hub', 'source', 'my-username/MyExec:latest'),
        ('jinaai://jina-ai/Hello:v1.0.0', 'hub', 'source', 'jina-ai/Hello:v1.0.0'),
        ('jinaai+docker://jina-ai/Encoder:latest-gpu', 'hub', 'image', 'jina-ai/Encoder:latest-gpu'),
        ('jinaai+sandbox://jina-ai/Hello', 'hub', 'sandbox', 'jina-ai/Hello:latest'),
        ('jinahub://Hello/v0.1', 'hub', 'source', 'Hello:v0.1'),
        ('jinahub+docker://Hello:secret/v0.1', 'hub', 'image', 'Hello:v0.1'),
    ],
)
def test_uris_are_read(uri: str, registry: str, form: str, label: str) -> None:
    remote = RemoteExecutor.parse(uri)
    assert remote is not None
    assert (remote.registry, remote.form, remote.label) == (registry, form, label)


@pytest.mark.parametrize('text', ['MyExecutor', 'executor.yml', 'https://host/executor.yml', 'jinaai+x://a/B', 'a: b'])
def test_other_texts_are_no_uris_of_this_kind(text: str) -> None:
    assert RemoteExecutor.parse(text) is None


@pytest.mark.parametrize(
    ('uri', 'error', 'message'),
    [
        ('docker://', ImageNameError, "'docker://' names no container image; write docker://<image>[:<tag>]"),
        ('docker://a b', ImageNameError, "'docker://a b' names no container image; write docker://<image>[:<tag>]"),
        ('jinaai://', ConfigError, "'jinaai://' names no Executor of the hub; write jinaai://<user>/<name>[:<tag>]"),
        (
            'jinaai+docker://Hello',
            ConfigError,
            "'jinaai+docker://Hello' names no Executor of the hub; write jinaai+docker://<user>/<name>[:<tag>]",
        ),
    ],
)
def test_wrong_uris_are_refused(uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        RemoteExecutor.parse(uri)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ('uri', 'message'),
    [
        ('jinaai://jina-ai/Hello', "uses='jinaai://jina-ai/Hello' is an Executor of the hub, which this version can"),
        ('docker://image', "uses='docker://image' is a container image, and no Executor that a process could"),
    ],
)
def test_load_config_says_what_such_a_uri_is(uri: str, message: str) -> None:
    with pytest.raises(NotSupportedError) as caught:
        Executor.load_config(uri)
    assert message in str(caught.value)
