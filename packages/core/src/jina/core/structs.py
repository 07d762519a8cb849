"""Python dicts to ``google.protobuf.Struct`` and back, hand-written because every request has parameters."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from numbers import Real
from typing import Any, Final

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from pydantic import BaseModel

from jina.core.errors import InputError

MAX_DEPTH: Final = 30
"""Nested dicts and lists in a Struct: protobuf parsers refuse messages nested deeper than 100, and a dict takes 3."""


def struct_to_dict(struct: Struct) -> dict[str, Any]:
    """Returns the content of a Struct as plain Python values; every number is a float, as on the wire."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def dict_to_struct(values: Mapping[str, Any], *, what: str = 'parameters') -> Struct:
    """Returns a Struct with the given values.

    Args:
        values: String keys; values may be strings, numbers, bools, None, enums, pydantic models, numpy scalars and arrays,
            and mappings and sequences of those. Numbers become floats.
        what: How an error message calls the values.

    Raises:
        InputError: Something has no form on the wire; the message names its place.
    """
    struct = Struct()
    _fill_struct(struct, values, what, 1)
    return struct


def _from_value(value: Value) -> Any:
    kind = value.WhichOneof('kind')
    if kind == 'string_value':
        return value.string_value
    if kind == 'number_value':
        return value.number_value
    if kind == 'struct_value':
        return {key: _from_value(item) for key, item in value.struct_value.fields.items()}
    if kind == 'list_value':
        return [_from_value(item) for item in value.list_value.values]
    if kind == 'bool_value':
        return value.bool_value
    return None


def _fill_struct(struct: Struct, values: Mapping[str, Any], where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InputError(f'{where} is nested deeper than {MAX_DEPTH} levels', hint='send flat values or a JSON string')
    fields = struct.fields
    for key, value in values.items():
        if not isinstance(key, str):
            raise InputError(f'{where} has the key {key!r} of type {type(key).__name__}', hint='keys must be strings')
        try:
            target = fields[key]
        except UnicodeEncodeError as error:
            raise InputError(f'{where} has a key that is not valid Unicode: {error}') from error
        _fill_value(target, value, where, key, depth)


def _fill_value(target: Value, value: Any, where: str, key: str | int, depth: int) -> None:
    try:
        if isinstance(value, str):
            target.string_value = value
        elif value is None:
            target.null_value = NULL_VALUE
        elif isinstance(value, bool):
            target.bool_value = value
        elif isinstance(value, Real):
            target.number_value = float(value)
        else:
            _fill_container(target, value, f'{where}[{key!r}]', depth + 1)
    except (UnicodeEncodeError, OverflowError) as error:
        raise InputError(f'{where}[{key!r}] can not be sent: {error}') from error


def _fill_container(target: Value, value: Any, where: str, depth: int) -> None:
    if isinstance(value, Mapping):
        target.struct_value.SetInParent()
        _fill_struct(target.struct_value, value, where, depth)
    elif isinstance(value, (list, tuple)):
        if depth > MAX_DEPTH:
            raise InputError(
                f'{where} is nested deeper than {MAX_DEPTH} levels', hint='send flat values or a JSON string'
            )
        target.list_value.SetInParent()
        values = target.list_value.values
        for index, item in enumerate(value):
            _fill_value(values.add(), item, where, index, depth)
    else:
        _fill_value(target, _simplified(value, where), where, '…', depth)


def _simplified(value: Any, where: str) -> Any:
    """Returns a value of a type that has a form on the wire."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode='json')
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, 'tolist') and not isinstance(value, type):
        return value.tolist()
    raise InputError(
        f'{where} has a value of type {type(value).__name__}: {value!r}',
        hint='only strings, numbers, bools, None, lists, dicts and pydantic models can be sent',
    )
