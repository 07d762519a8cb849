"""Document and parameters classes built from JSON Schema, for documents whose Python class isn't here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from threading import Lock
from typing import Any, ClassVar, Final, Literal, Union, cast, get_origin

from docarray import BaseDoc, DocList
from docarray.typing import AnyTensor
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from typing_extensions import Self

from jina.core.errors import SchemaError

_TENSOR_MARK: Final = 'tensor/array shape'
_SCALARS: Final[dict[str, Any]] = {'integer': int, 'number': float, 'boolean': bool, 'null': type(None)}
_MISSING: Final = object()
_CACHE: dict[tuple[str, str, bool], type[BaseModel]] = {}
_LOCK: Final = Lock()


def document_from_schema(schema: dict[str, Any], name: str) -> type[BaseDoc]:
    """Builds a document class; the same schema gives the same class.

    Args:
        schema: JSON Schema of an object.
        name: Name of the class.

    Raises:
        SchemaError: The schema doesn't describe an object.
    """
    return cast('type[BaseDoc]', _cached(schema, name, is_document=True))


def parameters_model_from_schema(schema: dict[str, Any], name: str) -> type[BaseModel]:
    """Builds a pydantic model for ``parameters``; the same schema gives the same class.

    Raises:
        SchemaError: The schema doesn't describe an object.
    """
    return _cached(schema, name, is_document=False)


def _cached(schema: dict[str, Any], name: str, *, is_document: bool) -> type[BaseModel]:
    key = (json.dumps(schema, sort_keys=True), name, is_document)
    with _LOCK:
        if key not in _CACHE:
            _CACHE[key] = _Builder(schema, is_document=is_document).build(schema, name)
        return _CACHE[key]


class _Incomplete(BaseDoc):
    """A document that has only those fields which were given, or whose default is known.

    The schema doesn't have a default that a function makes: the class where the document goes to fills it in, if the field
    is left out. Read here, it is None.
    """

    defaults_elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Fields with an unknown default."""

    @model_validator(mode='after')
    def _leave_out(self) -> Self:
        for name in self.defaults_elsewhere - self.model_fields_set:
            self.__dict__.pop(name, None)
        return self

    def __getattr__(self, name: str) -> Any:
        return None if name in type(self).model_fields else super().__getattr__(name)


class _Builder:
    """Builds one class and those nested in it.

    Args:
        root: The whole schema, for its definitions.
        is_document: Objects become documents rather than plain models.
    """

    def __init__(self, root: Mapping[str, Any], *, is_document: bool) -> None:
        self._definitions: Mapping[str, Any] = root.get('$defs') or root.get('definitions') or {}
        self._is_document = is_document
        self._built: dict[str, Any] = {}
        self._open: list[str] = []

    def build(self, schema: Mapping[str, Any], name: str) -> type[BaseModel]:
        if '$ref' in schema and 'properties' not in schema:
            built = self._referenced(str(schema['$ref']))
            if not (isinstance(built, type) and issubclass(built, BaseModel)):
                raise SchemaError(f'the schema of {name!r} describes no object: {schema!r}')
            return built
        if schema.get('type', 'object') != 'object':
            raise SchemaError(f'the schema of {name!r} describes no object: {schema!r}')
        return self._object(schema, name)

    def _object(self, schema: Mapping[str, Any], name: str) -> type[BaseModel]:
        required = set(schema.get('required', ()))
        fields: dict[str, Any] = {}
        for field_name, field_schema in schema.get('properties', {}).items():
            if self._is_document and field_name == 'id':
                continue
            fields[field_name] = self._field(field_name, field_schema, field_name in required)
        title = str(schema.get('title') or name)
        unknown = {name for name in fields if name not in required and 'default' not in schema['properties'][name]}
        base: type[BaseModel] = BaseModel
        if self._is_document:
            base = _Incomplete if unknown else BaseDoc
        model = create_model(title, __base__=base, __doc__=schema.get('description'), **fields)
        if base is _Incomplete:
            cast('type[_Incomplete]', model).defaults_elsewhere = frozenset(unknown)
        if schema.get('additionalProperties') is False:
            model.model_config = ConfigDict(**{**model.model_config, 'extra': 'forbid'})
            model.model_rebuild(force=True)
        return model

    def _field(self, name: str, schema: Mapping[str, Any], required: bool) -> tuple[Any, Any]:
        annotation = self._annotation(schema, name)
        described = {key: schema[key] for key in ('title', 'description') if key in schema}
        extra = {key: schema[key] for key in ('example', 'examples') if key in schema}
        default = schema.get('default', _MISSING)
        if default is _MISSING and required:
            return annotation, Field(**described, json_schema_extra=extra or None)
        if default is _MISSING or default is None:
            return Union[annotation, None], Field(default=None, **described, json_schema_extra=extra or None)  # noqa: UP007
        return annotation, Field(default=default, **described, json_schema_extra=extra or None, validate_default=True)

    def _annotation(self, schema: Mapping[str, Any], name: str) -> Any:
        if _TENSOR_MARK in schema:
            return AnyTensor
        if '$ref' in schema:
            return self._referenced(str(schema['$ref']))
        for combination in ('anyOf', 'oneOf', 'allOf'):
            if schema.get(combination):
                members = tuple(self._annotation(member, name) for member in schema[combination])
                return Union[members]  # noqa: UP007 - the members are known at run time only
        if 'const' in schema:
            return Literal[schema['const']]
        if 'enum' in schema:
            return Literal[tuple(schema['enum'])]
        kind = schema.get('type')
        if kind == 'string':
            return bytes if schema.get('format') == 'binary' else str
        if kind == 'array':
            return self._array(schema, name)
        if kind == 'object':
            return self._mapping_or_object(schema, name)
        return _SCALARS.get(str(kind), Any)

    def _array(self, schema: Mapping[str, Any], name: str) -> Any:
        items = schema.get('items')
        element = self._annotation(items, name) if isinstance(items, Mapping) else Any
        is_class = get_origin(element) is None and isinstance(element, type)  # on Python 3.10 list[int] is a type
        if self._is_document and is_class and issubclass(element, BaseDoc):
            return DocList[element]  # type: ignore[valid-type]
        if schema.get('uniqueItems'):
            return set[element]  # type: ignore[valid-type]
        return list[element]  # type: ignore[valid-type]

    def _mapping_or_object(self, schema: Mapping[str, Any], name: str) -> Any:
        if schema.get('properties'):
            return self._object(schema, name)
        values = schema.get('additionalProperties')
        value_type = self._annotation(values, name) if isinstance(values, Mapping) and values else Any
        return dict[str, value_type]  # type: ignore[valid-type]

    def _referenced(self, reference: str) -> Any:
        """Builds a nested type once; inside itself it stays untyped."""
        name = reference.rpartition('/')[2]
        if name in self._built:
            return self._built[name]
        if name in self._open:
            return Any
        schema = self._definitions.get(name)
        if not isinstance(schema, Mapping):
            return Any
        self._open.append(name)
        built = self._object(schema, name) if schema.get('properties') else self._annotation(schema, name)
        self._open.pop()
        self._built[name] = built
        return built
