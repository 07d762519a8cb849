"""One call with documents in JSON, for the command ``jina client``."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from jina.client.client import Client
from jina.core.config import ClientCallOptions, ClientOptions
from jina.core.errors import InputError

if TYPE_CHECKING:
    from docarray import BaseDoc

__all__ = ['as_line', 'call', 'documents_of']


def call(options: ClientCallOptions) -> Iterator[str]:
    """Makes the call and yields the documents that come back as JSON, as they come.

    Args:
        options: The client, and what it calls.

    Raises:
        InputError: ``data`` is no JSON, or not of objects.
        JinaError: The call failed.
    """
    own = {name: getattr(options, name) for name in options.model_fields_set & set(ClientOptions.model_fields)}
    if options.asyncio:
        yield from asyncio.run(_gathered(options, own))
        return
    client = Client(**own, asyncio=False)
    with client:
        if options.stream_doc:
            streams = (client.stream_doc(options.on, doc, **_travel(options)) for doc in _documents(options) or ())
            yield from map(as_line, chain.from_iterable(streams))
            return
        docs = client.post(
            options.on,
            _documents(options),
            request_size=options.request_size,
            results_in_order=True,
            **_travel(options),
        )
        yield from map(as_line, docs)


async def _gathered(options: ClientCallOptions, own: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    async with Client(**{**own, 'asyncio': True}) as client:
        if options.stream_doc:
            for doc in _documents(options) or ():
                lines += [as_line(item) async for item in client.stream_doc(options.on, doc, **_travel(options))]
            return lines
        results = client.post(
            options.on,
            _documents(options),
            request_size=options.request_size,
            results_in_order=True,
            **_travel(options),
        )
        async for docs in results:
            lines += map(as_line, docs)
    return lines


def _travel(options: ClientCallOptions) -> dict[str, Any]:
    return {'parameters': options.parameters, 'target_executor': options.target_executor}


def _documents(options: ClientCallOptions) -> Iterable[BaseDoc] | None:
    if options.data is None:
        return None
    if options.data == '-':
        return documents_of(sys.stdin)
    if options.data.startswith('@'):
        path = Path(options.data[1:])
        try:
            return documents_of(path.read_text().splitlines(keepends=True))
        except OSError as error:
            raise InputError(f'data names {str(path)!r}, which can not be read: {error.strerror}') from error
    return documents_of([options.data])


def documents_of(lines: Iterable[str] | TextIO) -> Iterator[BaseDoc]:
    """Yields untyped documents from JSON: an object per line, or one list or object over all lines.

    Args:
        lines: The text. If every line is an object, no more than one line is read ahead.

    Raises:
        InputError: It is no JSON, or not of objects.
    """
    for value in _values(iter(lines)):
        if not isinstance(value, dict):
            raise InputError(
                f'data holds {value!r:.80}, which is no document', hint='give objects, for example {"text": "hello"}'
            )
        yield _document_type(frozenset(value))(**value)


def _values(lines: Iterator[str]) -> Iterator[Any]:
    first = next(lines, '')
    try:
        value = json.loads(first)
    except ValueError:
        lines, value = iter(()), _parsed(first + ''.join(lines))
    yield from value if isinstance(value, list) else [value]
    for line in lines:
        if line.strip():
            yield _parsed(line)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f'data is no JSON: {error}: {text[:80]!r}') from error


@lru_cache
def _document_type(fields: frozenset[str]) -> type[BaseDoc]:
    """Returns a type with these fields, of any type each."""
    from docarray import BaseDoc  # noqa: PLC0415 - heavy
    from pydantic import create_model  # noqa: PLC0415

    own: dict[str, Any] = dict.fromkeys(fields - {'id'}, (Any, ...))
    return create_model('Document', __base__=BaseDoc, **own)


def as_line(doc: BaseDoc) -> str:
    """Returns a document as JSON on one line."""
    return json.dumps(_plain(doc), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Returns what JSON can hold; bytes become base64."""
    from docarray import BaseDoc  # noqa: PLC0415

    if isinstance(value, BaseDoc):
        value = value.__dict__
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, 'tolist') else value
