"""Bodies of requests: validated in one call from bytes, described for OpenAPI by models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from os import urandom
from types import NoneType
from typing import Annotated, Any, Final, Optional, Union, get_args
from urllib.parse import parse_qsl

from docarray import BaseDoc, DocList
from jina.core.annotations import ParametersType
from jina.core.codec import append_docs, encode_docs
from jina.core.parameters import bind_parameters, parameters_for
from jina.core.protobuf_bytes import field
from jina.core.request import DataRequest
from jina.core.schema import EndpointSchema
from jina.core.wire import DataRequestProto, HeaderProto
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails
from typing_extensions import Required, TypedDict

__all__ = [
    'BodyError',
    'DocumentBody',
    'EndpointBody',
    'Header',
    'ParsedBody',
    'query_fields',
    'request_model',
    'response_model',
    'sample_document',
    'with_floats',
]

_DATA: Final = DataRequestProto.DESCRIPTOR.fields_by_name['data'].number


class Header(BaseModel):
    """What a client may say about its request."""

    # Swagger UI takes the example as it is; a target made up by it would be an Executor that doesn't exist.
    model_config = ConfigDict(populate_by_name=True, json_schema_extra={'examples': [{'requestId': 'my-request'}]})

    requestId: Optional[str] = Field(  # noqa: UP045 - the name on the wire; the schema of 3.10 needs Optional
        None, validation_alias=AliasChoices('requestId', 'request_id'), description='Request ID'
    )
    targetExecutor: Optional[str] = Field(  # noqa: UP045
        None,
        validation_alias=AliasChoices('targetExecutor', 'target_executor'),
        description='Name of the Executor that works on the request',
    )


def _random_id() -> str:
    return urandom(16).hex()


def _serialised(endpoint: str, request_id: str, docs: DocList[Any]) -> DataRequest:
    """Makes a request of what it is on the wire: a gateway sends it on as it is, and needs no more of it."""
    header = field(1, request_id.encode()) + _endpoint_header(endpoint)
    return DataRequest.from_bytes(append_docs(field(1, header), _DATA, docs))


@lru_cache(maxsize=256)
def _endpoint_header(endpoint: str) -> bytes:
    return HeaderProto(exec_endpoint=endpoint).SerializeToString()


@dataclass(frozen=True)
class ParsedBody:
    """A valid body.

    Attributes:
        docs: The documents.
        parameters: What the client sent as parameters; numbers are floats, as in every other protocol.
        request_id: Id that the client chose, or the id of its only document; empty for a fresh one.
        target_executor: Name of the Executor that should work on the request; empty for all.
    """

    docs: list[Any]
    parameters: dict[str, Any]
    request_id: str = ''
    target_executor: str = ''

    def to_request(
        self, endpoint: str, schema: EndpointSchema, *, typed: bool, new_id: Callable[[], str] = _random_id
    ) -> DataRequest:
        """Makes a request of the body.

        Args:
            endpoint: The endpoint that it is for.
            schema: Its types.
            typed: An Executor of this process gets the documents; otherwise they are only passed on.
            new_id: Gives the id of a request that came without one.
        """
        docs = schema.input_list(self.docs, validate_input_docs=False)
        request_id = self.request_id or new_id()
        if not (typed or self.parameters or self.target_executor):
            return _serialised(endpoint, request_id, docs)
        proto = DataRequestProto()
        header = proto.header
        header.exec_endpoint = endpoint
        header.request_id = request_id
        if self.target_executor:
            header.target_executor = self.target_executor
        request = DataRequest(proto)
        if self.parameters:
            request.parameters = self.parameters
        if typed:
            request.docs = docs
        else:
            request.raw_content = encode_docs(docs)
        return request


class BodyError(Exception):
    """A body is invalid; ``details`` are FastAPI's error details, with the place of each error.

    Args:
        details: One entry per error: ``loc``, ``msg``, ``type``.
    """

    def __init__(self, details: list[dict[str, Any]]) -> None:
        self.details = details
        super().__init__(str(details))


class EndpointBody:
    """Reads bodies of one endpoint.

    Args:
        schema: Types of the endpoint.
        owner: Name of the Executor whose parameters model is checked here; empty if the Executors do that themselves.
    """

    def __init__(self, schema: EndpointSchema, owner: str = '') -> None:
        model = schema.input_model
        self._owner = owner
        self._kind = schema.parameters if owner else ParametersType()
        fields: dict[str, Any] = {
            'data': Required[Annotated[Union[list[model], model], Field(union_mode='left_to_right')]],  # type: ignore[valid-type]  # noqa: UP007
            'parameters': Optional[dict[str, Any]],  # noqa: UP045
            'header': Optional[Header],  # noqa: UP045
            'targetExecutor': Optional[str],  # noqa: UP045
            'target_executor': Optional[str],  # noqa: UP045
        }
        self._adapter: TypeAdapter[Any] = TypeAdapter(TypedDict('Body', fields, total=False))  # type: ignore[operator]

    def parse(self, raw: bytes) -> ParsedBody:
        """Validates a body.

        Args:
            raw: JSON.

        Raises:
            BodyError: It isn't JSON, has no ``data``, or doesn't fit the endpoint.
        """
        if not raw:
            raise BodyError([{'type': 'missing', 'loc': ['body'], 'msg': 'Field required', 'input': None}])
        try:
            body: Mapping[str, Any] = self._adapter.validate_json(raw)
        except ValidationError as error:
            raise BodyError(_details(error, ('body',), drop_alternatives=True)) from None
        except TypeError as error:  # how docarray's tensors refuse what is no array
            raise BodyError([{'type': 'type_error', 'loc': ['body', 'data'], 'msg': str(error)}]) from None
        data = body['data']
        header: Header = body.get('header') or _NO_HEADER
        parameters = self.check_parameters(body.get('parameters') or {}, ('body', 'parameters'))
        if isinstance(data, BaseDoc):
            return ParsedBody(
                [data], parameters, header.requestId or data.id or '', header.targetExecutor or _target(body)
            )
        return ParsedBody(data, parameters, header.requestId or '', header.targetExecutor or _target(body))

    def check_parameters(self, given: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
        """Returns parameters with numbers as they are on the wire.

        Args:
            given: What the client sent.
            place: Where it stood, for the error.

        Raises:
            BodyError: They don't fit the Executor's model.
        """
        try:
            parameters: dict[str, Any] = with_floats(given)
        except OverflowError as error:
            raise BodyError([{'type': 'float_type', 'loc': [*place], 'msg': str(error)}]) from None
        if self._kind.model is not None:
            try:
                bind_parameters(self._kind, parameters_for(self._owner, parameters))
            except ValidationError as error:
                raise BodyError(_details(error, place)) from None
        return parameters


class DocumentBody:
    """Reads requests whose body or query is a document alone: by ``GET``, and to a streaming endpoint.

    Args:
        schema: Types of the endpoint.
        owner: Name of the Executor whose parameters model is checked here; empty if the Executors do that themselves.
    """

    def __init__(self, schema: EndpointSchema, owner: str = '') -> None:
        self._model = schema.input_model
        self._envelope = EndpointBody(schema, owner)

    def parse(self, raw: bytes, query: bytes) -> ParsedBody:
        """Validates a document, from the body or from the query, and the parameters in the query.

        Args:
            raw: JSON; empty takes the query.
            query: The query string. ``parameters`` is a JSON object, unless documents have a field of this name.

        Raises:
            BodyError: The document or the parameters don't fit the endpoint.
        """
        fields = dict(parse_qsl(query.decode('latin-1'), keep_blank_values=True)) if query else {}
        given: dict[str, Any] = {}
        if 'parameters' in fields and 'parameters' not in self._model.model_fields:
            given = _object(fields.pop('parameters'))
        parameters = self._envelope.check_parameters(given, ('query', 'parameters'))
        place = 'body' if raw.strip() else 'query'
        try:
            document = self._model.model_validate_json(raw) if place == 'body' else self._model.model_validate(fields)
        except ValidationError as error:
            raise BodyError(_details(error, (place,))) from None
        return ParsedBody([document], parameters)

    def parse_envelope(self, raw: bytes) -> ParsedBody:
        """Validates the body of a ``POST``: ``data`` with one document, ``parameters`` and ``header``.

        Raises:
            BodyError: It doesn't fit the endpoint.
        """
        body = self._envelope.parse(raw)
        if len(body.docs) != 1:
            message = f'A streaming endpoint takes one document, not {len(body.docs)}'
            raise BodyError([{'type': 'value_error', 'loc': ['body', 'data'], 'msg': message, 'input': None}])
        return body


def _object(text: str) -> dict[str, Any]:
    """Reads a JSON object out of a query."""
    try:
        return _OBJECT.validate_json(text)
    except ValidationError as error:
        raise BodyError(_details(error, ('query', 'parameters'))) from None


def request_model(name: str, schema: EndpointSchema) -> type[BaseModel]:
    """Returns the model that describes an endpoint's body in OpenAPI."""
    document = schema.input_model
    data: Any = Union[document, list[document]] if schema.is_singleton_doc else Union[list[document], document]  # type: ignore[valid-type]  # noqa: UP007
    described = _described_parameters(schema.parameters)
    return create_model(f'{name}_input_model', data=(data, ...), parameters=described, header=(Optional[Header], None))  # noqa: UP045


def query_fields(schema: EndpointSchema) -> list[tuple[str, Any, Any, str]] | None:
    """Returns the fields of documents that a query can hold: name, type, default and description.

    None if an endpoint needs a field that only a body can hold.
    """
    found: list[tuple[str, Any, Any, str]] = []
    for name, field_ in schema.input_model.model_fields.items():
        if _fits_query(field_.annotation):
            default = inspect.Parameter.empty if field_.is_required() else None
            kind = field_.annotation if field_.is_required() else Optional[field_.annotation]  # noqa: UP045
            found.append((field_.alias or name, kind, default, field_.description or ''))
        elif field_.is_required():
            return None
    return found if all(name.isidentifier() and not iskeyword(name) for name, *_ in found) else None


def sample_document(schema: EndpointSchema) -> dict[str, Any]:
    """Returns a document for an example: the fields with examples of their own, and plain ones that are required."""
    sample: dict[str, Any] = {}
    for name, field_ in schema.input_model.model_fields.items():
        if field_.examples:
            sample[name] = field_.examples[0]
        elif field_.is_required() and field_.annotation in _SAMPLES:
            sample[name] = _SAMPLES[field_.annotation]
        elif name == 'text':
            sample[name] = _SAMPLES[str]
    return sample


def _fits_query(annotation: Any) -> bool:
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    return bool(kinds) and all(isinstance(kind, type) and issubclass(kind, (str, int, float)) for kind in kinds)


def _described_parameters(kind: ParametersType) -> Any:
    if kind.model is None:
        return (Optional[dict[str, Any]], None)  # noqa: UP045
    described: Any = Union[kind.model, dict[str, Any]] if kind.allows_dict else kind.model  # noqa: UP007
    if kind.allows_dict or kind.allows_none or _all_optional(kind.model):
        return (Optional[described], None)  # noqa: UP045
    return (described, ...)


def response_model(name: str, schema: EndpointSchema, *, with_header: bool) -> type[BaseModel]:
    """Returns the model that describes an endpoint's response in OpenAPI."""
    fields: dict[str, Any] = {
        'data': (list[schema.output_model], ...),  # type: ignore[name-defined]
        'parameters': (Optional[dict[str, Any]], None),  # noqa: UP045
    }
    if with_header:
        fields['header'] = (Optional[Header], None)  # noqa: UP045
    return create_model(f'{name}_output_model', **fields)


def _all_optional(model: type[BaseModel]) -> bool:
    return not any(field.is_required() for field in model.model_fields.values())


def _target(body: Mapping[str, Any]) -> str:
    return body.get('targetExecutor') or body.get('target_executor') or ''


def with_floats(value: Any) -> Any:
    """Turns whole numbers into floats, as the wire between servers does."""
    if isinstance(value, dict):
        return {key: with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _details(error: ValidationError, prefix: Sequence[str], *, drop_alternatives: bool = False) -> list[dict[str, Any]]:
    """Returns pydantic's errors in FastAPI's form.

    Args:
        error: What pydantic says.
        prefix: Where the value stands in the request.
        drop_alternatives: ``data`` may be a list or a document: report only what is wrong with the kind that was sent.
    """
    found = error.errors(include_url=False, include_context=False)
    if drop_alternatives:
        found = _matching_alternative(found)
    return [{**item, 'loc': [*prefix, *item['loc']]} for item in found]


def _matching_alternative(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Keeps the errors of that alternative of ``data`` which isn't of the wrong kind altogether."""
    kept: list[ErrorDetails] = []
    wrong_kinds: list[ErrorDetails] = []
    for item in errors:
        location = item['loc']
        if location[0:1] != ('data',) or len(location) < 2:
            kept.append(item)
        elif len(location) == 2 and item['type'] in ('list_type', 'model_type', 'model_attributes_type'):
            wrong_kinds.append({**item, 'loc': ('data',)})
        else:
            kept.append({**item, 'loc': ('data', *location[2:])})
    if len(wrong_kinds) > 1:  # neither a list nor a document
        kept.append({**wrong_kinds[0], 'msg': 'Input should be a list of documents or a document'})
    return kept


_SAMPLES: Final[dict[Any, Any]] = {str: 'hello', int: 1, float: 1.0, bool: True}
_NO_HEADER: Final = Header()
_OBJECT: Final = TypeAdapter(dict[str, Any])
