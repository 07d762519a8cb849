"""JSON of responses: documents, results and errors, each in one call from objects to bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Final

import numpy as np
import orjson
from docarray import BaseDoc, DocList
from docarray.base_doc import AnyDoc
from google.protobuf.timestamp_pb2 import Timestamp
from jina.core.errors import JinaError, TransportError
from jina.core.request import DataRequest
from jina.core.status import StatusMessage
from jina.core.wire import HeaderProto, RouteProto, StatusProto
from pydantic import PlainSerializer, WrapSerializer
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

_NATIVE_DTYPES: Final = frozenset(
    np.dtype(name) for name in ('bool', 'int8', 'uint8', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64')
)
"""What orjson serialises by itself in all its versions."""
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def to_json(value: Any) -> bytes:
    """Serialises plain values, documents, tensors and bytes.

    Tensors become nested lists, NaN becomes null. Bytes become text if they are UTF-8, else base64.
    """
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError:  # whole numbers above 64 bits, lone surrogates
        return json.dumps(value, default=_plain, ensure_ascii=True).encode()


def untyped_docs(response: DataRequest) -> DocList[Any]:
    """Returns the documents as they are on the wire: what passed through other types keeps all its fields."""
    response.document_array_cls = DocList
    return response.docs


def header_values(header: HeaderProto, status: StatusProto | None = None) -> dict[str, Any]:
    """Returns what an answer says about its request."""
    values: dict[str, Any] = {
        'requestId': header.request_id,
        'execEndpoint': header.exec_endpoint,
        'targetExecutor': header.target_executor,
    }
    if status is not None:
        values['status'] = StatusMessage(status).to_dict()
    return values


def route_values(route: RouteProto) -> dict[str, Any]:
    """Returns when a request was at a server."""
    return {
        'executor': route.executor,
        'startTime': _time(route.start_time) if route.HasField('start_time') else None,
        'endTime': _time(route.end_time) if route.HasField('end_time') else None,
    }


def _time(value: Timestamp) -> str:
    return f'{value.ToDatetime().isoformat(timespec="microseconds")}+00:00'


def _plain(value: Any) -> Any:
    """Takes one step from an object towards what JSON knows."""
    if isinstance(value, BaseDoc):
        if _is_plain(type(value)):
            return value.__dict__
        return value.model_dump(mode='json', by_alias=True, warnings=False)
    if isinstance(value, np.ndarray):
        array = value.view(np.ndarray)
        if array.ndim == 0 or array.dtype not in _NATIVE_DTYPES:
            return array.tolist()
        return np.ascontiguousarray(array)
    if isinstance(value, (bytes, bytearray)):
        return _text_of(bytes(value))
    if hasattr(value, 'detach'):  # torch
        return value.detach().cpu().numpy().view(np.ndarray)
    if hasattr(value, 'tolist'):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, Sequence)):
        return list(value)
    return to_jsonable_python(value)


@cache
def _is_plain(doc_type: type[BaseDoc]) -> bool:
    """Tells whether the fields of a document are its JSON: nothing computed, renamed, left out or converted."""
    if issubclass(doc_type, AnyDoc):
        return True
    decorators = doc_type.__pydantic_decorators__
    if decorators.field_serializers or decorators.model_serializers or decorators.computed_fields:
        return False
    if doc_type.model_config.get('extra') == 'allow':
        return False
    if any(isinstance(member, cached_property) for base in doc_type.__mro__ for member in vars(base).values()):
        return False
    return not any(_is_special(field) for field in doc_type.model_fields.values())


def _is_special(field: FieldInfo) -> bool:
    renamed = field.serialization_alias or field.alias or field.exclude
    return bool(renamed) or any(isinstance(item, (PlainSerializer, WrapSerializer)) for item in field.metadata)


def _text_of(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode('ascii')


def render_error(error: BaseException, request_id: str = '') -> bytes:
    """Returns the body of a request that failed outside of an Executor.

    Args:
        error: What went wrong.
        request_id: Id of the request; bodies of network errors carry it in a header, with the status.
    """
    message = str(error) if isinstance(error, JinaError) else repr(error)
    body: dict[str, Any] = {'detail': message}
    if isinstance(error, TransportError):
        exception = {'name': type(error).__name__, 'args': [message], 'stacks': [], 'executor': ''}
        status = {'code': int(StatusProto.ERROR), 'description': message, 'exception': exception}
        body['header'] = {'requestId': request_id, 'status': status}
    return orjson.dumps(body)
