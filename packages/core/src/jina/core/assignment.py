"""Assigns arrays to the fields of documents without a round through pydantic.

Documents validate what is assigned to them. For a numpy array in a field for such arrays, all that comes of it is a view
of the array in docarray's class, at a quarter of the cost; and to assign embeddings is what most endpoints do with most
of their documents. Whatever isn't plainly a numpy array that fits is left to docarray's own assignment.
"""

from __future__ import annotations

from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import numpy as np
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import BaseModel

from jina.core.tensor_readers import native_target

_ARRAYS: Final = '__jina_arrays__'
_plain: Final = np.ndarray
_assign_as_docarray = BaseDocWithoutId.__setattr__
_set_values = BaseModel.__dict__['__dict__'].__set__


class _ArrayFields:
    """The fields of a document class that hold numpy arrays.

    Args:
        kind: The class; classes derived from it find this too, and are none of it.
        targets: By name, docarray's class of the arrays, and the only shape that fits, or None if all do.
    """

    __slots__ = ('kind', 'targets')

    def __init__(self, kind: Any = None, targets: dict[str, tuple[Any, tuple[int, ...] | None]] | None = None) -> None:
        self.kind = kind
        self.targets = targets or {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _ArrayFields, ()  # a class that travels by value is looked at again where it arrives


def quicken_assignments(kind: Any) -> None:
    """Makes assignments of arrays to the fields of a document class quick.

    Args:
        kind: A class whose documents do nothing with a valid value but store it.
    """
    if (
        kind.__setattr__ not in (_assign_as_docarray, assign)
        or kind.model_config.get('validate_assignment') is not True
    ):
        return
    found = {name: _target(_required(info.annotation)) for name, info in kind.model_fields.items()}
    targets = {name: target for name, target in found.items() if target is not None}
    if targets:
        setattr(kind, _ARRAYS, _ArrayFields(kind, targets))
        kind.__setattr__ = assign


def assign(doc: Any, name: str, value: Any) -> None:
    """The ``__setattr__`` of classes with fields for arrays."""
    kind = type(doc)
    arrays = kind.__jina_arrays__
    found = arrays.targets.get(name)
    if found is not None and arrays.kind is kind:
        target, shape = found
        values = doc.__dict__
        given = type(value)
        if (
            (given is _plain or given is target)
            and type(values) is dict  # not the view of a row in a DocVec
            and (shape is None or shape == value.shape)
        ):
            # A dict of its own, as after a validation: shallow copies of a document share theirs.
            _set_values(doc, {**values, name: value.view(target)})
            doc.__pydantic_fields_set__.add(name)
            return
    _assign_as_docarray(doc, name, value)


def _required(annotation: Any) -> Any:
    """Returns the annotation of an optional field without its None."""
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else None
    return annotation


def _target(annotation: Any) -> tuple[Any, tuple[int, ...] | None] | None:
    """Returns what a field makes of numpy arrays, if that is a mere view."""
    if not isinstance(annotation, type) or get_origin(annotation) or not issubclass(annotation, AbstractTensor):
        return None
    target, shape = native_target(annotation)
    return None if target is None else (target, shape)
