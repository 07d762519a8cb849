"""Documents from JSON, of the type that an endpoint takes."""

from __future__ import annotations

import json
from typing import Any

from jina.client.json_call import documents_of
from jina.core.errors import InputError
from jina.core.schema import RemoteEndpoint

__all__ = ['documents_from']


def documents_from(data: Any, endpoint: RemoteEndpoint) -> Any:
    """Returns the documents as a list.

    Args:
        data: A document or a list of them, as JSON has them; None for no document.
        endpoint: The endpoint; without a schema the documents have fields of any type.

    Raises:
        InputError: They aren't what the endpoint takes.
    """
    from docarray import DocList  # noqa: PLC0415 - heavy
    from pydantic import ValidationError  # noqa: PLC0415

    values = [] if data is None else data if isinstance(data, list) else [data]
    if not all(isinstance(value, dict) for value in values):
        raise InputError('documents are objects', hint='give one, or a list of them: {"text": "hello"}')
    if not endpoint.input_schema:
        return DocList(documents_of([json.dumps(values)])) if values else DocList()
    types = endpoint.types()
    try:
        return types.input_list([types.input_model(**value) for value in values])
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(map(str, first['loc']))
        raise InputError(f'the document does not fit to {endpoint.name}: {place}: {first["msg"]}') from error
