from __future__ import annotations

from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina.core.config import ExecutorOptions, build
from jina.core.endpoints import dynamic_batching, requests, write
from jina.core.errors import ConfigError
from jina.core.executor import Executor
from jina.core.loader import load_executor
from jina.core.stateful import snapshot_methods


def made(**members: Any) -> Executor:
    return type('Made', (Executor,), members)()


def refusal(**members: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        _ = made(**members).endpoints
    return str(caught.value)


def plain(self, docs, **kwargs): ...


def test_a_write_that_is_no_endpoint_is_refused() -> None:
    @write
    def index(self, docs, **kwargs): ...

    assert refusal(index=index) == (
        'Made.index has @write and is no endpoint; add @requests, or bind it with uses_requests'
    )
    kind = type('Bound', (Executor,), {'index': index})
    assert kind(requests={'/index': 'index'}).endpoints.lookup('/index').is_write


def test_batching_of_a_method_that_is_no_endpoint_is_refused() -> None:
    @dynamic_batching(preferred_batch_size=3)
    def encode(self, docs, **kwargs): ...

    assert refusal(encode=encode) == (
        'Made.encode has @dynamic_batching and is no endpoint; add @requests, or bind it with uses_requests'
    )
    kind = type('BoundBatching', (Executor,), {'encode': encode})
    assert kind(requests={'/encode': 'encode'}).endpoints.lookup('/encode').batching is not None


def test_an_endpoint_may_be_bound_to_another_method() -> None:
    @requests(on='/index')
    @write
    def index(self, docs, **kwargs): ...

    executor = type('Rebound', (Executor,), {'index': index, 'other': plain})(requests={'/index': 'other'})
    assert not executor.endpoints.lookup('/index').is_write


def test_a_method_that_overrides_a_write_is_one() -> None:
    class Base(Executor):
        @requests(on='/index')
        @write
        def index(self, docs, **kwargs): ...

    class Derived(Base):
        def index(self, docs, **kwargs): ...

    assert Derived().endpoints.lookup('/index').is_write


def test_a_write_that_yields_is_refused() -> None:
    @requests
    @write
    async def stream(self, doc: BaseDoc, **kwargs) -> BaseDoc:
        yield doc

    assert 'has @write and yields documents' in refusal(stream=stream)


def test_a_write_with_batches_is_refused() -> None:
    @requests(on='/index')
    @write
    @dynamic_batching
    def index(self, docs: DocList[BaseDoc], **kwargs) -> DocList[BaseDoc]: ...

    assert 'has @write and dynamic batching: batches would differ between replicas' in refusal(index=index)


@pytest.mark.parametrize('name', ['docs_matrix', 'docs_map'])
def test_a_write_of_branches_is_refused(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f'def index(self, docs, {name}, **kwargs): ...', scope)
    assert f'has @write and takes {name}, which is not replicated' in refusal(index=requests(write(scope['index'])))


def load(kind: type, **options: Any) -> Executor:
    return load_executor(build(ExecutorOptions, {'uses': kind, **options}), runtime_name='it/rep-0')


def test_a_stateful_executor_has_a_write() -> None:
    kind = type('Reading', (Executor,), {'search': requests(on='/search')(plain)})
    with pytest.raises(ConfigError, match='Reading is to be stateful and has no endpoint with @write; mark what'):
        load(kind, stateful=True, replicas=3)


def writing(name: str, **members: Any) -> type:
    def index(self, docs, **kwargs): ...

    return type(name, (Executor,), {'index': requests(on='/index')(write(index)), **members})


def test_one_of_snapshot_and_restore_is_refused() -> None:
    def hook(self, snapshot_dir): ...

    with pytest.raises(ConfigError, match=r'OnlySnapshot has snapshot\(\) and no restore\(\); add restore'):
        load(writing('OnlySnapshot', snapshot=hook), stateful=True, replicas=3)
    with pytest.raises(ConfigError, match=r'OnlyRestore has restore\(\) and no snapshot\(\); add snapshot'):
        load(writing('OnlyRestore', restore=hook), stateful=True, replicas=3)
    executor = load(writing('BothHooks', snapshot=hook, restore=hook), stateful=True, replicas=3)
    assert snapshot_methods(executor) == (executor.snapshot, executor.restore)
    assert snapshot_methods(load(writing('NoHooks'), stateful=True, replicas=3)) is None
    load(writing('NotStateful', snapshot=hook))


def test_hooks_that_are_something_else_are_refused() -> None:
    def hook(self, snapshot_dir): ...
    def bare(self): ...

    with pytest.raises(ConfigError, match=r'BareHook.restore can not be called with a folder.*; write def restore'):
        load(writing('BareHook', snapshot=hook, restore=bare), stateful=True, replicas=3)
    endpoint = requests(on='/snapshot')(plain)
    with pytest.raises(ConfigError, match=r'EndpointHook.snapshot is an endpoint, and the hook of that name'):
        load(writing('EndpointHook', snapshot=endpoint, restore=hook), stateful=True, replicas=3)


def test_several_replicas_that_are_not_stateful_get_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    load(writing('LoneWriter'), replicas=2)
    load(writing('SecondWriter'), replicas=2, replica_id=1)
    load(writing('OnlyWriter'))
    shown = capfd.readouterr()
    text = ' '.join((shown.out + shown.err).split())
    assert '/index of LoneWriter change its state (@write), and each request reaches one of 2 replicas only' in text
    assert text.count('change its state') == 1


def test_replicas_have_folders_of_their_own(tmp_path) -> None:
    kind = writing('Filing')
    assert load(kind, workspace=str(tmp_path)).workspace == str(tmp_path / 'Filing' / '0')
    stateful = load(kind, workspace=str(tmp_path), stateful=True, replicas=3, replica_id=2)
    assert stateful.workspace == str(tmp_path / 'Filing' / '0' / '2')
