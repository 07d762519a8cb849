from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.core.errors import TopologyError
from jina.core.schema import remote_endpoints
from pydantic import BaseModel


class Text(BaseDoc):
    text: str = ''


class Picture(BaseDoc):
    url: str
    width: int


class Sizes(BaseModel):
    size: int = 3


class Writer(Executor):
    @requests(on='/write')
    def write(self, docs: DocList[Text], parameters: Sizes, **kwargs: Any) -> DocList[Text]: ...


class Reader(Executor):
    @requests(on='/write')
    def read(self, docs: DocList[Text], **kwargs: Any) -> DocList[Picture]: ...

    @requests(on='/other')
    def other(self, doc: Picture, **kwargs: Any) -> Text: ...


class Viewer(Executor):
    @requests
    def view(self, docs: DocList[Picture], **kwargs: Any) -> DocList[Picture]: ...


class Streamer(Executor):
    @requests(on='/stream')
    async def stream(self, doc: Text, **kwargs: Any) -> AsyncIterator[Picture]:
        yield Picture(url='', width=0)


async def test_endpoints_of_a_flow_go_from_first_input_to_last_output(cluster: Any) -> None:
    flow = await cluster.flow(Writer, Reader)
    found = remote_endpoints(await flow.pod.service.endpoints())
    assert set(found) == {'/write', '/other'}
    write, other = found['/write'], found['/other']
    assert (write.input_name, write.output_name, write.parameters_name) == ('Text', 'Picture', 'Sizes')
    assert (other.input_name, other.output_name, other.is_singleton_doc) == ('Picture', 'Text', True)
    assert set(other.types().input_model.model_fields) == {'id', 'url', 'width'}


async def test_streaming_is_for_one_executor(cluster: Any) -> None:
    alone = remote_endpoints(await (await cluster.flow(Streamer)).pod.service.endpoints())
    assert alone['/stream'].is_generator
    two = remote_endpoints(await (await cluster.flow(Streamer, 'BaseExecutor')).pod.service.endpoints())
    assert not two['/stream'].is_generator


async def test_executors_that_do_not_fit_stop_the_start(cluster: Any) -> None:
    with pytest.raises(TopologyError) as caught:
        await cluster.flow(Writer, Viewer)
    assert str(caught.value) == (
        "at '/write' Executor 'e1' gives Text (endpoint '/write') and Executor 'e2' takes Picture (endpoint '/default'), "
        'which do not fit; make the output type of the first the input type of the second'
    )


async def test_check_looks_through_executors_that_pass_documents_on(cluster: Any) -> None:
    class Bystander(Executor):
        @requests(on='/elsewhere')
        def elsewhere(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]: ...

    with pytest.raises(TopologyError, match=r"Executor 'e1' gives Text .* Executor 'e3' takes Picture"):
        await cluster.flow(Writer, Bystander, Viewer)


async def test_executor_that_starts_later_is_found(cluster: Any) -> None:
    first = await cluster.worker(Writer, 'e1')
    await first.pod.stop(0)
    gateway = await cluster.gateway({'start-gateway': ['e1'], 'e1': ['end-gateway']}, {'e1': [first.address]})
    waiting = asyncio.create_task(gateway.pod.service.endpoints())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await cluster.worker(Writer, 'e1', port=int(first.address.rpartition(':')[2]))
    assert list((await asyncio.wait_for(waiting, 10)).endpoints) == ['/write']


async def test_executor_that_comes_back_changed_is_asked_again(cluster: Any) -> None:
    first = await cluster.worker(Writer, 'e1')
    gateway = await cluster.gateway({'start-gateway': ['e1'], 'e1': ['end-gateway']}, {'e1': [first.address]})
    assert list((await gateway.pod.service.endpoints()).endpoints) == ['/write']
    await first.pod.stop(0)
    with pytest.raises(Exception, match='Communication error'):
        await cluster.post(gateway.address, '/write', 'x')
    await cluster.worker(Viewer, 'e1', port=int(first.address.rpartition(':')[2]))

    async def poll() -> None:
        while list((await gateway.pod.service.endpoints()).endpoints) != ['/default']:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), 10)
