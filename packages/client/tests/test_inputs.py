from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.documents import TextDoc
from jina.client.inputs import batches_of
from jina.client.loop import INLINE, background_loop
from jina.core.errors import InputError


def doc(text: object) -> TextDoc:
    return TextDoc(text=str(text))


def docs_of(count: int) -> Iterator[TextDoc]:
    yield from (doc(number) for number in range(count))


async def async_docs_of(count: int) -> AsyncIterator[TextDoc]:
    for number in range(count):
        yield doc(number)


async def awaited_docs() -> list[TextDoc]:
    return [doc(0), doc(1), doc(2)]


def sizes(inputs: Any, size: int = 2, *, in_thread: bool = False) -> tuple[int | None, list[int]]:
    """Returns the announced number of batches and the size of each."""

    async def read(caller: Any) -> tuple[int | None, list[int]]:
        source = batches_of(inputs, size, 1000, caller if in_thread else INLINE)
        lengths = [len(batch) async for batch in source]
        await source.aclose()
        return source.total, lengths

    return background_loop().run(read)


@pytest.mark.parametrize('in_thread', [False, True])
@pytest.mark.parametrize(
    ('inputs', 'expected'),
    [
        (None, (1, [0])),
        ([], (1, [0])),
        (doc('a'), (1, [1])),
        ([doc(1), doc(2), doc(3)], (2, [2, 1])),
        ((doc(1), doc(2)), (1, [2])),
        (DocList[TextDoc](docs_of(5)), (3, [2, 2, 1])),
        (DocVec[TextDoc]([doc(1), doc(2), doc(3)]), (2, [2, 1])),
        (lambda: docs_of(3), (None, [2, 1])),
        (lambda: [doc(1)], (1, [1])),
        (lambda: None, (1, [0])),
        (lambda: iter(()), (None, [])),
        (lambda: async_docs_of(3), (None, [2, 1])),
        (awaited_docs, (None, [2, 1])),
    ],
)
def test_every_kind_of_inputs(inputs: Any, expected: tuple[int | None, list[int]], in_thread: bool) -> None:
    assert sizes(inputs, in_thread=in_thread) == expected


def test_a_generator_object() -> None:
    assert sizes(docs_of(3)) == (None, [2, 1])
    assert sizes(docs_of(3), in_thread=True) == (None, [2, 1])


@pytest.mark.parametrize('size', [0, -1])
@pytest.mark.parametrize('inputs', [[doc(1)] * 3, lambda: docs_of(3), lambda: async_docs_of(3)])
def test_no_size_puts_all_into_one_request(inputs: Any, size: int) -> None:
    assert sizes(inputs, size)[1] == [3]


@pytest.mark.parametrize(
    ('inputs', 'text'),
    [
        ([doc(1), doc(2), 'three'], r"inputs\[2\] is of type str, not a document: 'three'"),
        (lambda: iter([doc(1), doc(2), doc(3), 4]), r'inputs\[3\] is of type int'),
        ({'text': 'a'}, "inputs are of type dict, not a document: {'text': 'a'}"),
        ('abc', 'inputs are of type str'),
        (3, 'inputs are of type int'),
        (TextDoc, 'inputs are the class TextDoc'),
        ([doc(1), TextDoc], r'inputs\[1\] is the class TextDoc'),
        (lambda text: text, 'can not be called'),
    ],
)
def test_what_is_no_document_is_named(inputs: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        sizes(inputs)


@pytest.mark.parametrize('in_thread', [False, True])
def test_an_error_of_the_generator_is_the_cause(in_thread: bool) -> None:
    def broken() -> Iterator[TextDoc]:
        yield doc(1)
        yield doc(2)
        raise KeyError('lost')

    with pytest.raises(
        InputError, match=r"inputs raised KeyError\('lost'\) after 2 documents|after 0 documents"
    ) as caught:
        sizes(broken, 1, in_thread=in_thread)
    assert isinstance(caught.value.__cause__, KeyError)


def test_documents_of_several_types_share_a_request() -> None:
    class Other(BaseDoc):
        number: int = 1

    assert sizes([doc(1), Other()]) == (1, [2])


def test_generators_run_in_the_calling_thread() -> None:
    threads: set[int] = set()

    def tell() -> Iterator[TextDoc]:
        threads.add(threading.get_ident())
        yield doc(1)

    sizes(tell, in_thread=True)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize('in_thread', [False, True])
def test_no_more_is_read_than_the_window(in_thread: bool) -> None:
    taken: list[int] = []

    def count() -> Iterator[TextDoc]:
        for number in range(1000):
            taken.append(number)
            yield doc(number)

    async def read_one(caller: Any) -> None:
        source = batches_of(count, 2, 3, caller if in_thread else INLINE)
        await anext(source)
        await source.aclose()

    background_loop().run(read_one)
    assert 2 <= len(taken) <= 6


def test_slices_of_a_doc_list_have_its_type_and_its_documents() -> None:
    docs = DocList[TextDoc](docs_of(5))

    async def read(caller: Any) -> list[Any]:
        return [batch async for batch in batches_of(docs, 2, 1000, caller)]

    batches = background_loop().run(read)
    assert all(type(batch) is type(docs) for batch in batches)
    assert [id(one) for batch in batches for one in batch] == [id(one) for one in docs]
