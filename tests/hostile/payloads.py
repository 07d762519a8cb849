"""Strategies: requests in protobuf, JSON and HTTP that are nearly right, and bytes that are nothing at all."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from docarray.proto import DocListProto, DocProto, NodeProto
from hypothesis import strategies as st
from jina.core import frames
from jina.core.protobuf_bytes import field
from jina.core.wire import DataRequestListProto, DataRequestProto, SingleDocumentRequestProto


def chosen(items: list[Any]) -> st.SearchStrategy[Any]:
    """One of several large values, which hypothesis doesn't print."""
    return st.integers(0, len(items) - 1).map(items.__getitem__)


ENDPOINTS = st.sampled_from(
    ['/things', '/one', '/parts', '/stream', '/', '', '/default', '_jina_dry_run_', '/nope', 'things', '/\0', '/' * 500]
)
NAMES = st.sampled_from(
    [
        '',
        'first',
        'second',
        'first|second',
        '(',
        '[a',
        '(a+)+$',
        '(.?){40}z',
        '(|)' * 60 + 'z',
        '.?' * 40 + 'z',
        '(' * 5000,
        'x' * 1000,
        '.*',
        '\\',
        '(?P<a',
        'first/rep-0',
        '\0',
    ]
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ['', '\0', 'é' * 50, '\u202e', 'NaN', 'null', '{"a": 1}', "'; --", '%s%n', '../../etc', 'x' * 70_000]
    ),
)
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**31 - 1, -(2**31), 1e308, -0.0, float('nan'), float('inf'), float('-inf'), 0.1]),
)
BYTES = st.one_of(st.binary(max_size=64), st.sampled_from([b'', b'\xff' * 10, b'\0' * 1000, b'{', b'\x1f\x8b\x08']))


def _node(fill: Callable[[NodeProto, Any], None], values: st.SearchStrategy[Any]) -> st.SearchStrategy[NodeProto]:
    def make(value: Any) -> NodeProto:
        node = NodeProto()
        fill(node, value)
        return node

    return values.map(make)


def _fill_array(node: NodeProto, value: Any) -> None:
    buffer, shape, dtype = value
    node.ndarray.dense.buffer = buffer
    node.ndarray.dense.shape.extend(shape)
    node.ndarray.dense.dtype = dtype


_SHAPES = st.one_of(
    st.just([3]),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from([[2**31, 2**31], [2**32 - 1], [0, 2**32 - 1], [1] * 100, [2**16] * 4]),
)
_DTYPES = st.sampled_from(
    [
        '<f8',
        '<f4',
        '<i8',
        '|u1',
        '|b1',
        '|O',
        '|V8',
        '<U4',
        '|S3',
        'f',
        '',
        'int',
        '<M8[s]',
        'x' * 99,
        '<f16',
        '>f8',
        '<c16',
        "[('a', '<i4')]",
    ]
)
_ARRAYS = st.tuples(st.one_of(st.just(struct.pack('<3d', 1, float('nan'), 3)), BYTES), _SHAPES, _DTYPES)
_TYPES = st.sampled_from(
    [
        '',
        'id',
        'ndarray',
        'torch_tensor',
        'tensorflow_tensor',
        'text_url',
        'video_bytes',
        'nope',
        '\0',
        'jax_array',
        'audio_ndarray',
        'image_url',
        'docvec',
        'bytes',
    ]
)
_LEAVES = st.one_of(
    _node(lambda node, value: setattr(node, 'text', value), TEXTS),
    _node(lambda node, value: setattr(node, 'float', value), NUMBERS.map(float)),
    _node(lambda node, value: setattr(node, 'integer', value), st.integers(-(2**31), 2**31 - 1)),
    _node(lambda node, value: setattr(node, 'boolean', value), st.booleans()),
    _node(lambda node, value: setattr(node, 'blob', value), BYTES),
    _node(_fill_array, _ARRAYS),
    st.builds(NodeProto),
)


@st.composite
def _nodes(draw: st.DrawFn, depth: int = 2) -> NodeProto:
    node = draw(_LEAVES)
    if depth and draw(st.booleans()):
        node = NodeProto()
        kind = draw(st.sampled_from(['doc', 'doc_array', 'list', 'set', 'tuple', 'dict']))
        inner = draw(st.lists(_nodes(depth - 1), max_size=2))
        if kind == 'doc':
            for number, item in enumerate(inner):
                node.doc.data[f'{number}'].CopyFrom(item)
        elif kind == 'doc_array':
            node.doc_array.docs.add()
        elif kind == 'dict':
            for number, item in enumerate(inner):
                node.dict.data[f'{number}'].CopyFrom(item)
        else:
            getattr(node, kind).data.extend(inner)
    if draw(st.integers(0, 3)) == 0:
        node.type = draw(_TYPES)
    return node


_FIELDS = st.sampled_from(
    [
        'id',
        'text',
        'count',
        'small',
        'ratio',
        'ok',
        'colour',
        'kind',
        'tensor',
        'any_tensor',
        'part',
        'parts',
        'words',
        'numbers',
        'tags',
        'link',
        'raw',
        'either',
        'name',
        'weight',
        'self',
        '__class__',
        'é',
        '',
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> DocProto:
    """Documents whose fields hold anything."""
    doc = DocProto()
    for name, node in draw(st.dictionaries(_FIELDS, _nodes(), max_size=4)).items():
        doc.data[name].CopyFrom(node)
    if draw(st.booleans()):
        doc.data['id'].text = draw(st.text('0123456789abcdef', min_size=1, max_size=32))
        doc.data['name'].text = 'n'
    return doc


_JSON_LIKE = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS.map(float), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
_PARAMETERS = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            'times': NUMBERS.map(float),
            'suffix': TEXTS,
            'nested': _JSON_LIKE,
            'first__times': NUMBERS.map(float),
            '__stream__': _JSON_LIKE,
            '__results__': _JSON_LIKE,
        },
    ),
    st.dictionaries(st.text(max_size=8), _JSON_LIKE, max_size=3),
)


@st.composite
def requests(draw: st.DrawFn) -> DataRequestProto:
    """Well-formed requests with documents, endpoints and parameters that may not fit."""
    request = DataRequestProto()
    _fill_header(draw, request)
    if draw(st.booleans()):
        request.parameters.update(draw(_PARAMETERS))
    docs = DocListProto(docs=draw(st.lists(documents(), max_size=3))).SerializeToString(deterministic=True)
    number = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3]))
    request.data = field(number, draw(BYTES) if number > 1 and draw(st.booleans()) else docs)
    return request


def _fill_header(draw: st.DrawFn, request: Any) -> None:
    request.header.exec_endpoint = draw(ENDPOINTS)
    request.header.request_id = draw(st.text(max_size=40))
    if draw(st.integers(0, 3)) == 0:
        request.header.target_executor = draw(NAMES)
    if draw(st.integers(0, 9)) == 0:
        request.header.timeout = draw(st.integers(0, 2**32 - 1))
        request.header.status.code = 1
        request.routes.add(executor=draw(st.text(max_size=5))).start_time.seconds = draw(
            st.integers(-(2**63), 2**63 - 1)
        )


@st.composite
def single_requests(draw: st.DrawFn) -> SingleDocumentRequestProto:
    """Requests to streaming endpoints."""
    request = SingleDocumentRequestProto()
    _fill_header(draw, request)
    request.document = draw(documents()).SerializeToString(deterministic=True)
    if draw(st.booleans()):
        request.parameters.update(draw(_PARAMETERS))
    return request


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _nested(prefix: Callable[[int], bytes], core: bytes, depth: int) -> bytes:
    for _ in range(depth):
        core = prefix(len(core)) + core
    return core


def _bombs() -> list[bytes]:
    """Messages within messages, far deeper than anybody parses, and groups that never end."""

    def head(number: int) -> Callable[[int], bytes]:
        return lambda size: _varint(number << 3 | 2) + _varint(size)

    found = []
    for depth in (30, 110, 1000, 3000):
        struct_value = b''
        for _ in range(depth):  # Struct.fields -> entry.value -> Value.struct_value
            for number in (1, 2, 5):
                struct_value = head(number)(len(struct_value)) + struct_value
        found.append(head(2)(len(struct_value)) + struct_value)
        listed = b''
        for _ in range(depth):  # Value.list_value -> ListValue.values
            for number in (1, 6):
                listed = head(number)(len(listed)) + listed
        entry = b'\n\x01a' + head(2)(len(listed)) + listed
        found.append(head(2)(len(entry) + 2 + len(_varint(len(entry))) - 1) + b'\n' + _varint(len(entry)) + entry)
        node = b'\n\x01x'
        for _ in range(depth):  # a document in a document
            node = b'\n\x04part\x12' + _varint(len(node)) + node
            node = b'\n' + _varint(len(node)) + node
            node = b':' + _varint(len(node)) + node
        doc = b'\n\x04part\x12' + _varint(len(node)) + node
        for number in (1, 1, 1, 4):
            doc = head(number)(len(doc)) + doc
        found.append(b'\n\x09\x1a\x07/things' + doc)
        found.append(b'\x0b' * depth)
        found.append(b'\x0b' * depth + b'\x0c' * depth)
        found.append(_nested(head(4), b'', depth))
    found.append(b'"' + b'\xff' * 9 + b'\x01')  # a length of 2**64 - 1
    found.append(b'"\xff\xff\xff\xff\x07')  # a length of 2 GiB
    found.append(b'"\xff\xff\xff\xff\x0f')  # a length below zero
    found.append(b'\x00')
    found.append(b'\x80' * 20)
    return found


BOMBS = _bombs()


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """Bytes with a few of them changed, left out or put in."""
    data = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(['flip', 'cut', 'insert', 'remove', 'huge', 'repeat']))
        if kind == 'flip' and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 'cut':
            del data[place:]
        elif kind == 'insert':
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif kind == 'remove':
            del data[place : place + draw(st.integers(1, 8))]
        elif kind == 'huge' and data:
            data[place : place + 1] = b'\xff\xff\xff\xff\x7f'
        elif kind == 'repeat':
            data += data[place:]
    return bytes(data)


def _as_bytes(messages: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    whole = messages.map(lambda message: message.SerializeToString(deterministic=True))
    return st.one_of(whole, whole.flatmap(mutated), chosen(BOMBS), st.binary(max_size=100))


REQUEST_BYTES = _as_bytes(requests())
"""Bytes for what takes a ``DataRequestProto``."""
SINGLE_BYTES = _as_bytes(single_requests())
"""Bytes for what takes a ``SingleDocumentRequestProto``."""
MANY_BYTES = _as_bytes(st.lists(requests(), max_size=3).map(lambda items: DataRequestListProto(requests=items)))
"""Bytes for what takes a ``DataRequestListProto``."""


@st.composite
def frame_lists(draw: st.DrawFn) -> list[bytes]:
    """What a client of the fast lane sends: frames of records, mostly after a hello."""
    hello = frames.Hello(window=draw(st.one_of(st.none(), st.integers(-5, 2**40)))).to_bytes()
    hello = draw(
        st.sampled_from(
            [hello] * 8
            + [
                b'',
                b'{}',
                b'[]',
                b'null',
                b'{"version": 99, "oldest": 99}',
                b'\xff',
                b'{"version": "x"}',
                b'[' * 20_000,
                b'{"version": 1e400, "oldest": 1}',
                hello[:-1] + b', "probe": [1, 2]}',
                hello[:-1] + b', "probe": [-1, -1, -1]}',
            ]
        )
    )
    records = [_record(frames.HELLO, 0, 0, hello)] if draw(st.integers(0, 9)) else []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.one_of(st.just(frames.REQUEST), st.integers(0, 12), st.integers(0, 255)))
        flags = draw(st.one_of(st.just(0), st.sampled_from([1, 2, 4, 6, 8, 15]), st.integers(0, 255)))
        payload = draw(REQUEST_BYTES) if draw(st.integers(0, 3)) else draw(BYTES)
        if flags & 4 and draw(st.booleans()):
            metadata = draw(st.sampled_from([b'[["a", "b"]]', b'[1]', b'{}', b'[[1, 2]]', b'[' * 5000, b'\xff', b'']))
            payload = b'\x10\x27\0\0' * bool(flags & 2) + struct.pack('<I', len(metadata)) + metadata + payload
        records.append(
            _record(kind, draw(st.integers(0, 3)), flags, payload, draw(st.sampled_from([0, 0, 0, 1, -1, 2**20])))
        )
    joined = [b''.join(records)] if draw(st.booleans()) else records
    if draw(st.integers(0, 3)) == 0 and joined:
        joined[-1] = draw(mutated(joined[-1]))
    return joined


def _record(kind: int, number: int, flags: int, payload: bytes, too_long: int = 0) -> bytes:
    return struct.pack('<BBII', kind, flags, number, max(0, len(payload) + too_long)) + payload


# JSON

_RAW_JSON = chosen(
    [
        b'',
        b' ',
        b'{',
        b'nul',
        b'NaN',
        b'{"data": NaN}',
        b'{"data": [{"ratio": Infinity}]}',
        b'{"data": [{"ratio": 1e999}]}',
        b'{"data": [{"count": ' + b'9' * 5000 + b'}]}',
        b'{"data": [{"count": 1' + b'0' * 400 + b'}]}',
        b'{"data": [{"tensor": [1, 2, 1' + b'0' * 400 + b']}]}',
        b'{"data": [{"tensor": [1, 2, NaN]}]}',
        b'{"data": [{"text": "\\ud800"}]}',
        b'{"data": [{"text": "\\udfff\\ud800"}]}',
        b'{"data": [{"id": "\\ud800"}]}',
        b'{"data": [{"text": "\xff\xfe"}]}',
        b'{"data": [{"text": "\\u0000"}]}',
        b'\xef\xbb\xbf{"data": []}',
        b'{"data": [], "data": {}}',
        b'{"data": [{"id": "a", "id": "b"}]}',
        b'[' * 100_000,
        b'{"data": ' + b'[' * 100_000,
        b'{"data": ' + b'[' * 500 + b']' * 500 + b'}',
        b'{"data": [{"tags": ' + b'{"a":' * 300 + b'1' + b'}' * 300 + b'}]}',
        b'{"data": [{"tags": ' + b'{"a":' * 100 + b'1' + b'}' * 100 + b'}]}',
        b'{"data": [{"tags": ' + b'{"a":' * 30 + b'1' + b'}' * 30 + b'}]}',
        b'{"data": [{"any_tensor": ' + b'[' * 70 + b'1' + b']' * 70 + b'}]}',
        b'{"data": [{"any_tensor": [[1], [1, 2]]}]}',
        b'{"data": [{"any_tensor": ["a", null]}]}',
        b'{"data": [{"any_tensor": "AAAA"}]}',
        b'{"data": [{"any_tensor": {}}]}',
        b'{"data": [{"tensor": [1, 2]}]}',
        b'{"data": {}, "parameters": ' + b'{"a":' * 200 + b'1' + b'}' * 200 + b'}',
        b'{"data": {}, "parameters": ' + b'{"nested":' * 40 + b'1' + b'}' * 40 + b'}',
        b'{"data": {}, "parameters": {"times": 1e400}}',
        b'{"data": {}, "parameters": {"times": ' + b'9' * 400 + b'}}',
        b'{"data": {}, "parameters": {"\\ud800": "\\ud800"}}',
        b'{"data": {}, "header": {"requestId": "\\ud800"}}',
        b'{"data": {}, "header": {"requestId": "' + b'a' * 100_000 + b'"}}',
        b'{"data": {}, "header": {"targetExecutor": "("}}',
        b'{"data": {}, "header": {"targetExecutor": "\\ud800"}}',
        b'{"data": {}, "targetExecutor": "(a+)+$"}',
        b'{"data": {}, "header": 3}',
        b'{"data": [' + b'{},' * 2000 + b'{}]}',
        b'\0' * 100,
        b'\x1f\x8b\x08\0\0',
    ]
)
_ODD_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(st.characters(), max_size=10)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
_JSON_DOCS = st.dictionaries(_FIELDS, _ODD_JSON, max_size=4)
_JSON_BODIES = st.fixed_dictionaries(
    {},
    optional={
        'data': st.one_of(_JSON_DOCS, st.lists(_JSON_DOCS, max_size=3), _ODD_JSON),
        'parameters': st.one_of(
            st.dictionaries(st.sampled_from(['times', 'suffix', 'nested', 'x', '__stream__']), _ODD_JSON, max_size=3),
            _ODD_JSON,
        ),
        'header': st.one_of(
            st.dictionaries(st.sampled_from(['requestId', 'request_id', 'targetExecutor']), _ODD_JSON, max_size=2),
            _ODD_JSON,
        ),
        'execEndpoint': st.one_of(ENDPOINTS, _ODD_JSON),
        'targetExecutor': st.one_of(NAMES, _ODD_JSON),
    },
)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


JSON_BYTES = st.one_of(
    _RAW_JSON, _JSON_BODIES.map(_dump), _JSON_BODIES.map(_dump).flatmap(mutated), _ODD_JSON.map(_dump), BYTES
)
"""Bodies of HTTP requests and messages of WebSockets that are JSON, or nearly."""

_QUERIES = chosen(
    [
        '{ things(data: {text: "a"}) { text } }',
        'mutation { docs(data: {name: "a"}, execEndpoint: "/parts") { id part { name } } }',
        'query q($d: [ThingInput!]) { things(data: $d) { text tensor tags part { name } } }',
        '{ docs(execEndpoint: "\\u0000") { id } }',
        '{ __schema { types { name fields { name type { name ofType { name } } } } } }',
        '{' * 4000,
        '{ a(b: ' + '[' * 4000,
        '{ ' + 'things { id } ' * 400 + '}',
        'query { ...a } fragment a on Query { ...a }',
        '{ things(data: {count: ' + '9' * 5000 + '}) { count } }',
        '{ things(data: {any_tensor: [[1], "x"], tags: {a: [1, {b: null}]}}) { any_tensor tags } }',
        '{ things(data: {either: 1e400, ratio: 1e400}) { either ratio } }',
        'subscription { things { id } }',
        '\0',
        '"""' + 'x' * 1000,
    ]
)


@st.composite
def graphql(draw: st.DrawFn) -> bytes:
    """Bodies for ``/graphql``."""
    query = draw(_QUERIES)
    if draw(st.booleans()):
        query = draw(mutated(query.encode())).decode(errors='replace')
    body = {
        'query': query,
        'variables': draw(
            st.one_of(st.none(), st.fixed_dictionaries({'d': st.one_of(_JSON_DOCS, _ODD_JSON)}), _ODD_JSON)
        ),
    }
    if draw(st.integers(0, 4)) == 0:
        body['operationName'] = draw(_ODD_JSON)
    return _dump(body)
