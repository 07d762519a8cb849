from __future__ import annotations

import enum
import json
from datetime import datetime
from functools import cached_property
from typing import Any, Optional

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import AnyTensor, ImageUrl, NdArray
from jina.core.codec import decode_docs, encode_docs
from jina.core.errors import ConfigError, DeadlineError
from jina.runtime.http.rendering import render_error, to_json
from pydantic import ConfigDict, Field, computed_field, field_serializer


class Color(enum.Enum):
    RED = 'red'


class Everything(BaseDoc):
    text: str = 'ä'
    url: Optional[ImageUrl] = None  # noqa: UP045
    vector: Optional[NdArray] = None  # noqa: UP045
    tensor: Optional[AnyTensor] = None  # noqa: UP045
    raw: bytes = b''
    tags: dict[str, Any] = {}  # noqa: RUF012
    nested: Optional[TextDoc] = None  # noqa: UP045
    more: Optional[DocList[TextDoc]] = None  # noqa: UP045
    unique: set[int] = set()  # noqa: RUF012
    color: Color = Color.RED
    when: Optional[datetime] = None  # noqa: UP045


def everything() -> Everything:
    return Everything(
        id='i',
        url='http://a/b.png',
        vector=np.array([[1.5, 2.0]], dtype=np.float32),
        tensor=np.arange(2),
        raw=b'text',
        tags={'a': [1, None]},
        nested=TextDoc(id='n', text='t'),
        more=DocList[TextDoc]([TextDoc(id='m')]),
        unique={3},
        when=datetime(2020, 1, 2),
    )


def test_all_kinds_of_fields_are_rendered_as_pydantic_renders_them() -> None:
    doc = everything()
    assert json.loads(to_json(doc)) == json.loads(doc.model_dump_json(warnings=False))


def test_untyped_documents_have_all_fields() -> None:
    docs = DocList[TextDoc]([TextDoc(id='a', text='t', embedding=np.ones(2), bytes_=b'b')])
    untyped = decode_docs(encode_docs(docs), DocList)
    assert json.loads(to_json(untyped)) == json.loads(to_json(docs))
    assert json.loads(to_json(docs))[0]['embedding'] == [1.0, 1.0]


@pytest.mark.parametrize(
    'value',
    [np.float32(1.5), np.int64(3), np.bool_(True), np.array(3), np.array([True]), np.array([1], dtype=np.float16)],
)
def test_numpy_values(value: Any) -> None:
    assert json.loads(to_json({'v': value}))['v'] == value.tolist()


def test_arrays_that_are_not_contiguous() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    assert json.loads(to_json(array)) == array.tolist()


def test_bytes_are_text_or_base64() -> None:
    assert to_json([b'abc', b'\xff\xfe', bytearray(b'x')]) == b'["abc","//4=","x"]'


def test_values_that_are_too_big_or_no_numbers() -> None:
    assert to_json(2**70) == b'1180591620717411303424'
    assert to_json([float('nan'), np.array([np.inf])]) == b'[null,[null]]'
    assert to_json('\ud800') == b'"\\ud800"'


def test_documents_with_a_serialisation_of_their_own_keep_it() -> None:
    class Own(BaseDoc):
        model_config = ConfigDict(populate_by_name=True)
        text: str = Field('x', serialization_alias='Text')
        hidden: str = Field('y', exclude=True)
        number: int = 1

        @field_serializer('number')
        def double(self, value: int) -> int:
            return 2 * value

        @computed_field
        def total(self) -> int:
            return 7

    class Cached(BaseDoc):
        number: int = 1

        @cached_property
        def expensive(self) -> int:
            return 3

    class Open(BaseDoc):
        model_config = ConfigDict(extra='allow')

    assert json.loads(to_json(Own(id='i'))) == {'id': 'i', 'Text': 'x', 'number': 2, 'total': 7}
    cached = Cached(id='i')
    assert cached.expensive == 3
    assert json.loads(to_json(cached)) == {'id': 'i', 'number': 1}
    assert json.loads(to_json(Open(id='i', more=1))) == {'id': 'i', 'more': 1}


def test_errors() -> None:
    assert json.loads(render_error(ConfigError('wrong', hint='do it right'))) == {'detail': 'wrong; do it right'}
    assert json.loads(render_error(KeyError('k'))) == {'detail': "KeyError('k')"}
    body = json.loads(render_error(DeadlineError('slow'), 'rid'))
    status = body['header']['status']
    assert body['header']['requestId'] == 'rid'
    assert (status['code'], status['description'], status['exception']['name']) == (1, 'slow', 'DeadlineError')
