"""Types of endpoints: as classes where documents are used, as JSON Schema where they only pass through."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from jina.core.annotations import ParametersType

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from pydantic import BaseModel

    from jina.core.wire import EndpointsProto

LEGACY_NAME: Final = 'LegacyDocumentJina'
"""How peers of the original package call ``LegacyDocument``."""
_LEGACY_NAMES: Final = frozenset({LEGACY_NAME, 'LegacyDocument'})
_NULL: Final = {'type': 'null'}


@dataclass(frozen=True)
class EndpointSchema:
    """Input and output of one endpoint, as classes.

    Attributes:
        input_model: Type of one document that goes in.
        output_model: Type of one document that comes out.
        parameters: What the method accepts as ``parameters``.
        is_generator: The endpoint streams documents.
        is_singleton_doc: The method takes one document (``doc``) rather than a list (``docs``).
    """

    input_model: type[BaseDoc]
    output_model: type[BaseDoc]
    parameters: ParametersType = field(default_factory=ParametersType)
    is_generator: bool = False
    is_singleton_doc: bool = False

    @property
    def parameters_model(self) -> type[BaseModel] | None:
        """The pydantic model for ``parameters``; None for a plain dict."""
        return self.parameters.model

    @property
    def is_batch_docs(self) -> bool:
        """True if the method takes a list of documents."""
        return not self.is_singleton_doc

    @cached_property
    def input_list(self) -> type[DocList[Any]]:
        """``DocList[input_model]``."""
        return doc_list_of(self.input_model)

    @cached_property
    def output_list(self) -> type[DocList[Any]]:
        """``DocList[output_model]``."""
        return doc_list_of(self.output_model)

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry of this endpoint in ``EndpointsProto.schemas``, as Executors report it."""
        model = self.parameters_model
        return {
            'input': {'name': _wire_name(self.input_model), 'model': _wire_schema(self.input_model)},
            'output': {'name': _wire_name(self.output_model), 'model': _wire_schema(self.output_model)},
            'is_generator': self.is_generator,
            'is_singleton_doc': self.is_singleton_doc,
            'parameters': {
                'name': model.__name__ if model else None,
                'model': _with_definitions(model.model_json_schema()) if model else None,
            },
        }


@dataclass(frozen=True)
class RemoteEndpoint:
    """One endpoint of a peer, as its discovery describes it.

    Attributes:
        name: The endpoint, for example ``/index``.
        input_name: Class name of the input documents; empty if a gateway left it out.
        input_schema: JSON Schema of one input document.
        output_name: Class name of the output documents; empty if a gateway left it out.
        output_schema: JSON Schema of one output document.
        parameters_name: Class name of the parameters model, or None.
        parameters_schema: JSON Schema of the parameters, or None for a plain dict.
        is_generator: The endpoint streams documents.
        is_singleton_doc: It works on one document at a time.
    """

    name: str
    input_name: str = ''
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_name: str = ''
    output_schema: dict[str, Any] = field(default_factory=dict)
    parameters_name: str | None = None
    parameters_schema: dict[str, Any] | None = None
    is_generator: bool = False
    is_singleton_doc: bool = False

    @cached_property
    def _types(self) -> EndpointSchema:
        from jina.core.schema_types import parameters_model_from_schema  # noqa: PLC0415 - needs docarray

        model = None
        if self.parameters_schema:
            model = parameters_model_from_schema(self.parameters_schema, self.parameters_name or 'Parameters')
        return EndpointSchema(
            input_model=doc_type_from_schema(self.input_schema, self.input_name),
            output_model=doc_type_from_schema(self.output_schema, self.output_name),
            parameters=ParametersType(model=model, allows_dict=model is None),
            is_generator=self.is_generator,
            is_singleton_doc=self.is_singleton_doc,
        )

    def types(self) -> EndpointSchema:
        """Returns classes that hold the same documents; built once from the JSON Schemas."""
        return self._types


def remote_endpoints(proto: EndpointsProto) -> dict[str, RemoteEndpoint]:
    """Reads the answer of ``endpoint_discovery``, from an Executor or from a gateway.

    Endpoints without a schema are listed with empty ones.
    """
    from jina.core.structs import struct_to_dict  # noqa: PLC0415 - protobuf, which defining an Executor must not load

    schemas = struct_to_dict(proto.schemas)
    return {name: _remote_endpoint(name, schemas.get(name) or {}) for name in proto.endpoints}


def _remote_endpoint(name: str, entry: Mapping[str, Any]) -> RemoteEndpoint:
    input_name, input_schema = _named_schema(entry.get('input'))
    output_name, output_schema = _named_schema(entry.get('output'))
    parameters_name, parameters_schema = _named_schema(entry.get('parameters'))
    return RemoteEndpoint(
        name=name,
        input_name=input_name,
        input_schema=input_schema,
        output_name=output_name,
        output_schema=output_schema,
        parameters_name=parameters_name or None,
        parameters_schema=parameters_schema or None,
        is_generator=bool(entry.get('is_generator')),
        is_singleton_doc=bool(entry.get('is_singleton_doc')),
    )


def _named_schema(value: Any) -> tuple[str, dict[str, Any]]:
    """Reads both shapes: ``{name, model}`` of Executors and the bare schema of gateways."""
    if not isinstance(value, dict):
        return '', {}
    if value.keys() <= {'name', 'model'}:
        schema = value.get('model') or {}
        return value.get('name') or _title(schema), schema
    return _title(value), value


def _title(schema: Mapping[str, Any]) -> str:
    return str(schema.get('title') or str(schema.get('$ref', '')).rpartition('/')[2])


@cache
def _schema_of(doc_type: type[BaseModel]) -> dict[str, Any]:
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError  # noqa: PLC0415 - heavy

    try:
        return doc_type.model_json_schema()
    except PydanticInvalidForJsonSchema:
        return {'title': doc_type.__name__, 'type': 'object', 'properties': {}}
    except PydanticUserError:  # docarray's classes with postponed annotations are not complete in every pydantic
        from docarray import BaseDoc, DocList  # noqa: PLC0415
        from docarray import typing as docarray_typing  # noqa: PLC0415

        namespace = {name: getattr(docarray_typing, name) for name in docarray_typing.__all__}
        doc_type.model_rebuild(force=True, _types_namespace={**namespace, 'BaseDoc': BaseDoc, 'DocList': DocList})
        return doc_type.model_json_schema()


def schema_of(doc_type: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON Schema of a document type.

    A type with a field that JSON Schema can't express gets an open object, so that it can still be served.

    Args:
        doc_type: A document or parameters class; ``LegacyDocument`` works too.
    """
    return copy.deepcopy(_schema_of(doc_type))


def legacy_document() -> type[BaseDoc]:
    """Returns ``LegacyDocument``, the type of endpoints that declare none."""
    from docarray.documents.legacy import LegacyDocument  # noqa: PLC0415 - docarray is heavy

    return cast('type[BaseDoc]', LegacyDocument)


@cache
def doc_list_of(doc_type: type[BaseDoc]) -> type[DocList[Any]]:
    """Returns ``DocList[doc_type]``, in which every field is a column."""
    from docarray import DocList  # noqa: PLC0415

    list_type = cast('type[DocList[Any]]', DocList[doc_type])  # type: ignore[valid-type]
    # docarray leaves columns out where the fields weren't known yet when the list type was made: a type with lists of
    # itself, as LegacyDocument is, makes it while it is being defined.
    owner = getattr(list_type, '__origin__', list_type)
    for name in doc_type.model_fields.keys() - vars(owner).keys():
        setattr(owner, name, _column(name))
    return list_type


def _column(name: str) -> property:
    return property(lambda docs: docs._get_data_column(name), lambda docs, values: docs._set_data_column(name, values))


def doc_type_from_schema(schema: Mapping[str, Any], name: str = '') -> type[BaseDoc]:
    """Builds a document class that holds what the JSON Schema describes.

    Args:
        schema: JSON Schema of pydantic 1 or 2 (``definitions`` or ``$defs``). An empty one gives ``LegacyDocument``.
        name: Class name; the schema's title by default.

    Raises:
        SchemaError: The schema is no description of a document.
    """
    from jina.core.schema_types import document_from_schema  # noqa: PLC0415 - needs docarray

    if (name or _title(schema)) in _LEGACY_NAMES or not schema:
        return legacy_document()
    return document_from_schema(dict(schema), name or _title(schema) or 'Document')


def schemas_compatible(
    output_schema: Mapping[str, Any], input_schema: Mapping[str, Any], merged: Iterable[Mapping[str, Any]] = ()
) -> bool:
    """Tells whether documents of one endpoint can be the input of the next.

    They can when every required field of the input exists in the output, with a type that may fit, and no field of the
    output is unknown to the input, where it would be lost. Untyped documents (``LegacyDocument``) and schemas without
    fields fit everything.

    Args:
        output_schema: JSON Schema of what the first endpoint gives.
        input_schema: JSON Schema of what the second endpoint takes.
        merged: JSON Schemas of what other branches give, with which the documents are merged: they may add required fields.
    """
    source, target = _root(output_schema), _root(input_schema)
    given, wanted = source.get('properties'), target.get('properties')
    if not given or not wanted or _title(source) in _LEGACY_NAMES or _title(target) in _LEGACY_NAMES:
        return True
    present = given.keys() | {name for schema in merged for name in _root(schema).get('properties') or ()}
    if any(name not in present for name in target.get('required', ())):
        return False
    if given.keys() - wanted.keys() and not target.get('additionalProperties'):
        return False
    return all(
        _kinds_overlap(given[name], output_schema, wanted[name], input_schema)
        for name in wanted.keys() & given.keys() - {'id'}
    )


def field_names(schema: Mapping[str, Any]) -> set[str] | None:
    """Names of the fields of a document; None if it may have others too: untyped documents, and those with ``id`` alone."""
    root = _root(schema)
    names = set(root.get('properties') or ())
    if not names - {'id'} or _title(root) in _LEGACY_NAMES or root.get('additionalProperties'):
        return None
    return names


def field_defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Values that the fields of a document have if nobody gives others, as JSON."""
    properties = _root(schema).get('properties') or {}
    return {name: field['default'] for name, field in properties.items() if 'default' in field}


def _root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follows a ``$ref`` at the top."""
    reference = schema.get('$ref')
    if not reference:
        return schema
    definitions = schema.get('$defs') or schema.get('definitions') or {}
    return cast('Mapping[str, Any]', definitions.get(str(reference).rpartition('/')[2], {}))


def _kinds_overlap(given: Any, given_root: Mapping[str, Any], wanted: Any, wanted_root: Mapping[str, Any]) -> bool:
    first, second = _kinds(given, given_root), _kinds(wanted, wanted_root)
    return not first or not second or bool(first & second)


def _kinds(schema: Any, root: Mapping[str, Any]) -> set[str]:
    """Returns the JSON types that a value may have; empty if anything goes."""
    if not isinstance(schema, Mapping):
        return set()
    alternatives = [*schema.get('anyOf', ()), *schema.get('oneOf', ()), *schema.get('allOf', ())]
    if alternatives:
        kinds = [_kinds(alternative, root) for alternative in alternatives]
        return set().union(*kinds) if all(kinds) else set()
    if '$ref' in schema:
        return {'object'}
    kind = schema.get('type')
    if kind == 'integer':  # the wire doesn't tell 1 from 1.0
        return {'number'}
    return {kind} if isinstance(kind, str) else set()


def _wire_name(doc_type: type[BaseDoc]) -> str:
    return LEGACY_NAME if doc_type is legacy_document() else doc_type.__name__


@cache
def _wire_schema(doc_type: type[BaseDoc]) -> dict[str, Any]:
    return _legacy_wire_schema() if doc_type is legacy_document() else _with_definitions(_schema_of(doc_type))


def _legacy_wire_schema() -> dict[str, Any]:
    """The schema of untyped documents, letter by letter as the original reports it.

    Its gateway recognises untyped endpoints, such as the dry run of every Executor, by comparing schemas, descriptions
    included, and refuses to chain an Executor whose schema differs.
    """
    from docarray import BaseDoc  # noqa: PLC0415 - docarray is heavy

    tensor = {'type': 'array', 'items': {'type': 'number'}, 'tensor/array shape': 'not specified'}
    nested = {'type': 'array', 'items': {'$ref': f'#/definitions/{LEGACY_NAME}'}}
    documents = {'anyOf': [{'type': 'array', 'items': {}}, nested]}
    fields: dict[str, dict[str, Any]] = {
        'id': {'type': 'string', 'description': BaseDoc.model_fields['id'].description},
        'tensor': tensor,
        'chunks': documents,
        'matches': documents,
        'blob': {'type': 'string', 'format': 'binary'},
        'text': {'type': 'string'},
        'url': {'type': 'string'},
        'embedding': tensor,
        'tags': {'type': 'object', 'default': {}},
        'scores': {'type': 'object'},
    }
    description = inspect.getdoc(legacy_document()) or ''
    definition = {
        'title': LEGACY_NAME,
        'description': description.replace('is the LegacyDocument.', f'is the {LEGACY_NAME}.'),
        'type': 'object',
        'properties': {name: {'title': name.title(), **schema} for name, schema in fields.items()},
    }
    return {'$ref': f'#/definitions/{LEGACY_NAME}', 'definitions': {LEGACY_NAME: definition}}


def _with_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Adapts a schema to peers with pydantic 1: nested types under the older name too, and no type ``null``."""
    schema = _for_pydantic_1(schema)
    if '$defs' not in schema:
        return schema
    return {**schema, 'definitions': schema['$defs']}


def _for_pydantic_1(schema: Any) -> Any:
    """Leaves out what the original fails on and what goes without saying.

    That is the alternative ``null``, since a field that isn't required may be null anyway, and ``additionalProperties``
    when anything goes.
    """
    if isinstance(schema, list):
        return [_for_pydantic_1(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    open_mapping = schema.get('additionalProperties') is True
    result = {
        key: _for_pydantic_1(value)
        for key, value in schema.items()
        if not (open_mapping and key == 'additionalProperties')
    }
    if isinstance(schema.get('properties'), dict) and 'required' in schema:
        nullable = {name for name, value in schema['properties'].items() if _NULL in _alternatives(value)}
        result['required'] = [name for name in schema['required'] if name not in nullable]
    alternatives = _alternatives(schema)
    if _NULL not in alternatives:
        return result
    kept = [_for_pydantic_1(alternative) for alternative in alternatives if alternative != _NULL]
    del result['anyOf']
    return {**kept[0], **result} if len(kept) == 1 else {**result, 'anyOf': kept}


def _alternatives(schema: Any) -> list[Any]:
    found = schema.get('anyOf') if isinstance(schema, dict) else None
    return found if isinstance(found, list) else []
