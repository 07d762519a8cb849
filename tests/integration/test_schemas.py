"""Whether the documents of neighbours fit is found out when a Flow starts, also when one of them runs elsewhere."""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Optional, Union

import pytest
from docarray import BaseDoc, DocList
from docarray.typing import AnyTensor, NdArray
from jina import Deployment, Executor, Flow, requests
from jina.core.errors import StartupError, TopologyError


class Text(BaseDoc):
    text: str = 't'


class SameShape(BaseDoc):
    """Another class with the same field."""

    text: str


class Wider(BaseDoc):
    text: str
    size: int = 1


class Number(BaseDoc):
    text: int = 0


class Optionally(BaseDoc):
    text: Optional[str] = None  # noqa: UP045


class Either(BaseDoc):
    text: Union[int, str] = 'e'  # noqa: UP007


class Other(BaseDoc):
    other: str


class Both(BaseDoc):
    text: str
    other: str


class Vector(BaseDoc):
    vector: Optional[AnyTensor] = None  # noqa: UP045


class Vector3(BaseDoc):
    vector: Optional[NdArray[3]] = None  # noqa: UP045


class Inner(BaseDoc):
    inner: DocList[Text] = DocList[Text]()


class InnerWider(BaseDoc):
    inner: DocList[Wider] = DocList[Wider]()


def giver(kind: Any) -> type[Executor]:
    class Giver(Executor):
        @requests(on='/run')
        def give(self, docs: DocList[Text], **kwargs: Any) -> DocList[kind]:
            values = {name: 'g' for name in ('text', 'other') if name in kind.model_fields and kind is not Number}
            return DocList[kind]([kind(id=doc.id, **values) for doc in docs])

    return Giver


def taker(kind: Any) -> type[Executor]:
    class Taker(Executor):
        @requests(on='/run')
        def take(self, docs: DocList[kind], **kwargs: Any) -> DocList[Text]:
            return DocList[Text]([Text(text=f'{type(doc).__name__}') for doc in docs])

    return Taker


class Untyped(Executor):
    @requests
    def see(self, docs: Any, **kwargs: Any) -> None:
        docs.text = [(text or '') + 'u' for text in docs.text]


class OnlyADict(Executor):
    @requests(on='/run')
    def see(self, docs: DocList[Text], **kwargs: Any) -> dict[str, Any]:
        return {'seen': len(docs)}


class OneByOne(Executor):
    @requests(on='/run')
    def see(self, doc: Text, **kwargs: Any) -> Text:
        return Text(text=doc.text + '1')


class Elsewhere(Executor):
    @requests(on='/elsewhere')
    def see(self, docs: DocList[Number], **kwargs: Any) -> DocList[Number]:
        return docs


FITTING: dict[str, tuple[list[type[Executor]], str]] = {
    'same fields': ([giver(Text), taker(SameShape)], 'SameShape'),
    'more fields with defaults': ([giver(Text), taker(Wider)], 'Wider'),
    'optional': ([giver(Text), taker(Optionally)], 'Optionally'),
    'into a union': ([giver(Text), taker(Either)], 'Either'),
    'out of a union': ([giver(Either), taker(Text)], 'Text'),
    'any tensor': ([giver(Vector), taker(Vector3)], 'Vector3'),
    'inner documents': ([giver(InnerWider), taker(Inner)], 'Inner'),
    'untyped in the middle': ([giver(Text), Untyped, taker(Text)], 'Text'),
    'untyped first': ([Untyped, taker(Text)], 'Text'),
    'untyped last': ([giver(Text), Untyped], 'gu'),
    'no declared return': ([OnlyADict, taker(Text)], 'Text'),
    'one at a time': ([OneByOne, giver(Text), OneByOne], 'g1'),
    'nothing in the middle': ([giver(Text), Executor, taker(Text)], 'Text'),
    'another endpoint in the middle': ([giver(Text), Elsewhere, taker(Text)], 'Text'),
}
UNFIT: dict[str, tuple[list[type[Executor]], str]] = {
    'a field would be lost': (
        [giver(Wider), taker(Text)],
        "at '/run' Executor 'executor0' gives Wider (endpoint '/run') and Executor 'executor1' takes Text (endpoint '/run')",
    ),
    'a field is missing': (
        [giver(Text), taker(Both)],
        "at '/run' Executor 'executor0' gives Text (endpoint '/run') and Executor 'executor1' takes Both (endpoint '/run')",
    ),
    'another kind': (
        [giver(Number), Elsewhere, taker(Text)],
        "at '/run' Executor 'executor0' gives Number (endpoint '/run') and Executor 'executor2' takes Text (endpoint '/run')",
    ),
}


@pytest.mark.parametrize('case', FITTING)
def test_neighbours_that_fit(case: str) -> None:
    executors, expected = FITTING[case]
    flow = Flow(quiet=True)
    for executor in executors:
        flow = flow.add(uses=executor)
    with flow:
        assert flow.post('/run', Text(text='x'), return_type=DocList[Text])[0].text == expected


@pytest.mark.parametrize('case', UNFIT)
def test_neighbours_that_do_not_fit(case: str) -> None:
    executors, expected = UNFIT[case]
    flow = Flow(quiet=True)
    for executor in executors:
        flow = flow.add(uses=executor)
    with pytest.raises(StartupError) as caught, flow:
        pass
    assert f'{expected}, which do not fit; make the output type of the first the input type of the second' in str(
        caught.value
    )
    assert isinstance(caught.value.__cause__, TopologyError)
    assert flow.num_pods == 0


def test_openapi_of_a_flow_goes_from_the_first_input_to_the_last_output() -> None:
    with Flow(quiet=True, protocol='http').add(uses=giver(Number)).add(uses=taker(Number)) as flow:
        with urllib.request.urlopen(f'http://127.0.0.1:{flow.port}/openapi.json', timeout=60) as response:
            schemas = json.load(response)['components']['schemas']

        def kinds(name: str) -> str:
            return json.dumps(schemas[name]['properties']['data'])

        assert 'Text' in kinds('run_input_model')
        assert 'Text' in kinds('run_output_model')
        assert not [name for name in schemas if name.startswith('Number')]


def test_branches_give_together_what_a_join_takes() -> None:
    flow = Flow(quiet=True).add(uses=giver(Text), name='a').add(uses=giver(Other), name='b', needs='gateway')
    joined = taker(Both)
    with flow.add(uses=joined, needs=['a', 'b']) as running:
        assert running.post('/run', Text(), return_type=DocList[Text]).text == ['Both']
    side_by_side = flow.add(uses=joined, needs=['a', 'b'], no_reduce=True)
    with pytest.raises(StartupError, match=r"'a' gives Text .* Executor 'executor2' takes Both"), side_by_side:
        pass


@pytest.mark.parametrize('replicas', [1, 2])
def test_an_external_executor_is_asked_for_its_types(replicas: int) -> None:
    with Deployment(uses=taker(Number), name='far', replicas=replicas, quiet=True) as far:
        flow = Flow(quiet=True).add(uses=giver(Number), name='near')
        with flow.add(name='far', external=True, host='127.0.0.1', port=far.port) as running:
            assert running.post('/run', Text(), return_type=DocList[Text]).text == ['Number']
        wrong = Flow(quiet=True).add(uses=giver(Text), name='near')
        wrong = wrong.add(name='far', external=True, host='127.0.0.1', port=far.port)
        message = r"at '/run' Executor 'near' gives Text \(endpoint '/run'\) and Executor 'far' takes Number \(endpoint '/run'\)"
        with pytest.raises(StartupError, match=message), wrong:
            pass
