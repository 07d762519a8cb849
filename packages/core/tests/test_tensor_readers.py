# ruff: noqa: UP006, UP035, RUF012 - the forms of annotations are what is tested


from __future__ import annotations

from typing import Any, Dict

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.proto import DocProto
from docarray.typing import (
    AnyEmbedding,
    AnyTensor,
    NdArray,
)
from jina.core import codec, document_reader, document_writer
from jina.core.errors import SchemaError

from .document_samples import (
    Anything,
    canonical,
    check_both_ways,
    outcome,
    reference_decode,
    round_trip,
    same,
)

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


needs_torch = pytest.mark.skipif(torch is None, reason='torch is not installed')


@pytest.mark.parametrize('dtype', ['<f4', '>f8', '|b1', '<U2', '<M8[D]', [('a', '<i4'), ('b', '>f2')]], ids=str)
@pytest.mark.parametrize('shape', [(0,), (3, 0), (), (1,), (70000,), (200, 100), (2100, 500)])
def test_arrays_of_all_sizes(dtype: Any, shape: tuple[int, ...]) -> None:
    class Holder(BaseDoc):
        value: AnyTensor

    docs = DocList[Holder]([Holder(value=np.zeros(shape, dtype)) for _ in range(2)])
    ours = document_writer.write_docs(docs)
    assert canonical(ours) == canonical(docs.to_protobuf().SerializeToString())
    theirs = outcome(lambda: reference_decode(ours, DocList[Holder]))
    decoded = outcome(lambda: codec.decode_docs(codec.field(1, ours), DocList[Holder]))
    assert same(decoded, theirs) or (decoded[0] is SchemaError and isinstance(theirs, tuple))


def test_large_arrays_in_any_order() -> None:
    base = np.arange(40000, dtype=np.int16).reshape(200, 200)
    for array in (base, base.T, base[::2], base[:, 3:50], np.asfortranarray(base), base[::-1], base.astype('>i2')):
        doc = Anything(value=array)
        assert np.array_equal(round_trip(doc).value, array)
        assert np.array_equal(round_trip(Anything(value=NdArray._docarray_from_native(array))).value, array)


def test_arrays_are_independent_of_the_message_and_of_each_other() -> None:
    class Holder(BaseDoc):
        small: NdArray
        large: NdArray

    raw = codec.encode_docs(DocList[Holder]([Holder(small=np.zeros(3), large=np.zeros(5000)) for _ in range(2)]))
    before = bytes(raw)
    one, two = codec.decode_docs(raw, DocList[Holder])
    one.small[:] = 1
    one.large[:] = 2
    assert (two.small.sum(), two.large.sum()) == (0, 0)
    assert raw == before
    again = codec.decode_docs(codec.encode_docs(DocList[Holder]([one])), DocList[Holder])[0]
    assert (again.small.sum(), again.large.sum()) == (3, 10000)


class Vector(BaseDoc):
    text: str
    embedding: NdArray


def test_large_tensors_are_copied_once() -> None:
    import tracemalloc

    size = 8 << 20
    docs = DocList[Vector]([Vector(text='a', embedding=np.zeros(size, np.uint8))])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        raw = codec.encode_docs(docs)
        assert tracemalloc.get_traced_memory()[1] - before < 1.1 * size
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        (decoded,) = codec.decode_docs(raw, DocList[Vector])
        assert tracemalloc.get_traced_memory()[1] - before < 1.1 * size
    finally:
        tracemalloc.stop()
    assert decoded.embedding.nbytes == size
    assert decoded.embedding.flags.writeable


@needs_torch
@pytest.mark.parametrize('dtype', ['float32', 'float16', 'int64', 'uint8', 'bool', 'complex64'])
@pytest.mark.parametrize('shape', [(3,), (2, 3), (), (5000, 3)])
def test_torch_tensors(dtype: str, shape: tuple[int, ...]) -> None:
    from docarray.typing import ImageTorchTensor, TorchEmbedding, TorchTensor

    class Holder(BaseDoc):
        tensor: TorchTensor
        untyped: AnyTensor
        image: ImageTorchTensor
        embedding: AnyEmbedding | None = None
        thing: Any = None
        tags: Dict[str, Any] = {}

    def make() -> Any:
        return torch.zeros(shape, dtype=getattr(torch, dtype))

    docs = DocList[Holder](
        [
            Holder(tensor=make(), untyped=make(), image=make(), embedding=make(), thing=make(), tags={'a': make()}),
            Holder(
                tensor=make().numpy(),
                untyped=make().numpy(),
                image=make().T if len(shape) == 2 else make(),
                thing=TorchEmbedding._docarray_from_native(make()),
            ),
        ]
    )
    check_both_ways(docs)
    (one, two) = codec.decode_docs(codec.encode_docs(docs), DocList[Holder])
    one.tensor.fill_(True)
    assert not bool(two.tensor.any())


@needs_torch
def test_tensors_change_the_framework_as_with_docarray() -> None:
    from docarray.typing import TorchTensor

    class Torch(BaseDoc):
        tensor: TorchTensor
        shaped: TorchTensor[2, 2]

    class Numpy(BaseDoc):
        tensor: NdArray
        shaped: NdArray[2, 2]

    ones = np.ones((2, 2), np.float32)
    for source in (Numpy(tensor=ones, shaped=ones), Torch(tensor=torch.ones(2, 2), shaped=torch.ones(2, 2))):
        raw = codec.encode_doc(source)
        for target in (Numpy, Torch):
            ours = document_reader.read_doc(raw, target)
            assert same(ours, target.from_protobuf(DocProto.FromString(raw)))
    bad = Torch(tensor=torch.ones(2, 2, dtype=torch.bfloat16), shaped=torch.ones(2, 2))
    with pytest.raises(SchemaError):
        codec.encode_doc(bad)


@needs_torch
def test_gradients_and_views() -> None:
    class Holder(BaseDoc):
        tensor: AnyTensor

    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    for tensor in (weight, weight.T, weight[:, ::2], (weight * 2)):
        doc = Holder(tensor=tensor.detach())
        check_both_ways(DocList[Holder]([doc]))
    doc = Holder(tensor=torch.zeros(2))
    doc.__dict__['tensor'] = torch.zeros(2)
    assert DocProto.FromString(document_writer.write_doc(doc)) == doc.to_protobuf()
