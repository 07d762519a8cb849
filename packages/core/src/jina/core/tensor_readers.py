"""Readers of tensors: from the bytes of docarray's ``NdArrayProto`` to arrays of its classes, with one copy.

The copy makes the array writable and independent of the message, as docarray's are. A tensor that is most of a message in
memory of its own takes over that memory instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from docarray.typing import AnyEmbedding, AnyTensor, AudioNdArray, AudioTensor, ImageNdArray, ImageTensor, NdArray
from docarray.typing import NdArrayEmbedding as NdArrayEmbedding
from docarray.typing.abstract_type import AbstractType
from docarray.typing.proto_register import _PROTO_TYPE_NAME_TO_CLASS
from docarray.typing.tensor.abstract_tensor import AbstractTensor

from jina.core.memory_file import MappedMessage
from jina.core.payloads import HUGE, Message
from jina.core.protobuf_bytes import UNUSUAL, field_head, payload, read_varint, whole
from jina.core.skeletons import Convert, Locate

Reader = Callable[[bytes, int, int, int], Any]
"""Takes the data, position and end of a node, and the depth of documents and containers; returns the value."""

_CACHE_SIZE: Final = 256
_LARGE: Final = 1 << 14
_ALIGNMENT: Final = 16
"""Of the largest numbers; numpy itself aligns no further."""
_UNIONS: Final[tuple[tuple[Any, Any], ...]] = (
    (AnyTensor, NdArray),
    (AnyEmbedding, NdArrayEmbedding),
    (ImageTensor, ImageNdArray),
    (AudioTensor, AudioNdArray),
)
"""Classes that stand for a tensor of any framework, with what they make of a numpy array."""


class Frame(NamedTuple):
    """What surrounds the content of a tensor in its node, and what that says."""

    head: bytes
    foot: bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kind: Any
    """docarray's class of the tensor that was sent."""
    is_array: bool
    """Whether that is a class of numpy arrays."""


_frames: Final[dict[int, Frame]] = {}
"""The last frame of each size of nodes: most tensors are like those before them."""


def tensor_reader(kind: Any) -> Reader | None:
    """Returns the reader for a field of a tensor class; None if the class validates in a way of its own."""
    if not same_methods(kind, AbstractType, 'validate') or not same_methods(
        kind, AbstractTensor, '__get_pydantic_core_schema__'
    ):
        return None
    target, shape = native_target(kind)

    def read_tensor(data: bytes, position: int, stop: int, depth: int) -> Any:
        frame = _frames.get(stop - position)
        if frame is None or not (
            data.startswith(frame[0], position) and data.startswith(frame[1], stop - len(frame[1]))
        ):
            frame = _read_frame(data, position, stop)
        head, foot, sizes, dtype, _, is_array = frame
        if is_array and target is not None and (shape is None or shape == sizes):
            start = position + len(head)
            if stop - start < _LARGE:
                return target(sizes, dtype, bytearray(data[start : stop - len(foot)]))
            return target(sizes, dtype, _copy(data, start, stop - len(foot)))
        return kind._docarray_validate(_build(data, position, stop, frame))

    return read_tensor


def tensor_locator(kind: Any) -> Locate | None:
    """Returns what finds the content of an array for a field of a tensor class; None if it takes more to make the value."""
    target, shape = native_target(kind)
    if target is None:
        return None

    def locate_tensor(data: bytes, position: int, stop: int) -> tuple[int, int, Convert]:
        frame = _read_frame(data, position, stop)
        sizes, dtype = frame.shape, frame.dtype
        if not frame.is_array or (shape is not None and shape != sizes):
            raise ValueError(UNUSUAL)

        def convert(content: bytes) -> Any:
            return target(sizes, dtype, bytearray(content))

        return position + len(frame.head), stop - len(frame.foot), convert

    return locate_tensor


def native_target(kind: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Returns the class that a field makes of any numpy array by a mere view, and the shape that it must have, if any."""
    # NdArray takes an array as a view of its class, whatever docarray's class of it was.
    target = next((numpy_kind for union, numpy_kind in _UNIONS if kind is union), None)
    if issubclass(kind, NdArray) and _views_natively(kind):
        return kind, None
    if issubclass(kind, NdArray) and kind.__unparametrizedcls__ and _views_natively(kind.__unparametrizedcls__):
        return kind.__unparametrizedcls__, kind.__docarray_target_shape__
    return target, None


def same_methods(kind: Any, base: Any, *names: str) -> bool:
    """Returns True if a class has the class methods of a base with these names as they are there."""
    return all(getattr(kind, name).__func__ is getattr(base, name).__func__ for name in names)


def _views_natively(kind: Any) -> bool:
    return (
        same_methods(kind, NdArray, '_docarray_validate', '_docarray_from_native')
        and kind.__new__ is np.ndarray.__new__
        and not kind.__unparametrizedcls__
    )


def read_raw_tensor(data: bytes, position: int, stop: int, depth: int) -> Any:
    """Reads a tensor as an object of the class that was sent."""
    return _build(data, position, stop, _read_frame(data, position, stop))


def _build(data: bytes, position: int, stop: int, frame: Frame) -> Any:
    content = _copy(data, position + len(frame.head), stop - len(frame.foot))
    array = np.ndarray(frame.shape, frame.dtype, content)
    kind = frame.kind
    return kind._docarray_from_native(array) if issubclass(kind, NdArray) else kind.from_ndarray(array)


def _copy(data: bytes, start: int, stop: int) -> Any:
    """Returns writable memory with a part of the data."""
    if stop - start < HUGE:
        return bytearray(memoryview(data)[start:stop])
    content = np.frombuffer(data, np.uint8, stop - start, start)
    if (
        isinstance(data, (Message, MappedMessage))
        and 2 * len(content) >= len(data)
        and not content.ctypes.data % _ALIGNMENT
    ):
        return content
    # numpy asks the system for large pages: the copy is five times as fast as one to fresh small ones.
    return content.copy()


def _read_frame(data: bytes, position: int, stop: int) -> Frame:
    outer, end = payload(data, position, stop, 50)
    inner = whole(data, outer, end, 10)
    start, cut = payload(data, inner, end, 10)
    shape, dtype = _read_facts(data, cut, end)
    kind = _sent_kind(data[whole(data, end, stop, 106) : stop].decode())
    size = dtype.itemsize
    for length in shape:
        size *= length
    # An array without content loses its type in docarray, and one of objects can't be read.
    if size != cut - start or not size or dtype.hasobject:
        raise ValueError(UNUSUAL)
    foot = data[cut:stop]
    head = field_head(1, size)
    head = field_head(1, len(head) + size + end - cut) + head
    head = field_head(6, len(head) + size + end - cut) + head
    frame = Frame(head, foot, shape, dtype, kind, issubclass(kind, np.ndarray))
    if position + len(head) != start:
        raise ValueError(UNUSUAL)
    if len(_frames) >= _CACHE_SIZE:
        _frames.clear()
    if len(foot) < _CACHE_SIZE:
        _frames[stop - position] = frame
    return frame


def _read_facts(data: bytes, position: int, stop: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Reads shape and type, which follow the content of an array."""
    shape = []
    if data[position] == 18:
        position, end = payload(data, position, stop, 18)
        while position < end:
            length, position = read_varint(data, position)
            shape.append(length)
        if position != end or not shape:
            raise ValueError(UNUSUAL)
    return tuple(shape), np.dtype(data[whole(data, position, stop, 26) : stop].decode())


def _sent_kind(name: str) -> Any:
    """Returns docarray's class for the type name of a tensor, if it reads arrays in the usual way."""
    kind: Any = _PROTO_TYPE_NAME_TO_CLASS[name]
    torch_tensor = _PROTO_TYPE_NAME_TO_CLASS.get('torch_tensor')
    for base in (NdArray, torch_tensor):
        if base is not None and issubclass(kind, base) and same_methods(kind, base, 'from_protobuf'):
            return kind
    raise ValueError(UNUSUAL)
