"""What the user wants to send, cut into lists of documents, one list a request.

Inputs are read lazily: never more than the call's window of requests ahead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from inspect import isawaitable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Union, cast

from jina.core.errors import InputError

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from jina.client.loop import Caller

__all__ = ['BatchSource', 'InputType', 'batches_of']

InputType = Union[
    'BaseDoc',
    'Iterable[BaseDoc]',
    'AsyncIterable[BaseDoc]',
    'Callable[[], Iterable[BaseDoc] | AsyncIterable[BaseDoc] | Awaitable[Any]]',
    None,
]
"""One document, an iterable of documents (list, DocList, generator), an asynchronous one, a function without arguments
that returns such, or None for a request without documents."""

_READ_AHEAD: Final = 32
_READ_AHEAD_S: Final = 0.001


class BatchSource:
    """An asynchronous iterator over the documents of each request.

    A waiter may be cancelled: the batch it waited for goes to the next one.

    Args:
        batches: The batches; a plain iterator if nobody ever has to wait for one.
        total: Number of batches, None if it isn't known.
    """

    def __init__(self, batches: AsyncIterator[DocList[Any]] | Iterator[DocList[Any]], total: int | None) -> None:
        self.total = total
        """Number of batches, None if it isn't known."""
        self.at_once = batches if isinstance(batches, Iterator) else None
        """The batches, if nobody ever has to wait for one."""
        self._batches = batches
        self._next: asyncio.Future[DocList[Any] | None] | None = None

    def __aiter__(self) -> BatchSource:
        return self

    async def __anext__(self) -> DocList[Any]:
        if self.at_once is not None:
            batch = next(self.at_once, None)
        else:
            if self._next is None:
                self._next = asyncio.ensure_future(anext(cast('AsyncIterator[DocList[Any]]', self._batches), None))
            batch = await asyncio.shield(self._next)
            self._next = None
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def aclose(self) -> None:
        """Stops reading."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        close = getattr(self._batches, 'aclose', None)
        if close is not None:
            await close()
        elif isinstance(self._batches, Generator):
            self._batches.close()


def batches_of(inputs: InputType, size: int, window: int, caller: Caller) -> BatchSource:
    """Returns the documents of each request.

    Args:
        inputs: What the user gave.
        size: Documents per request; 0 or less puts all into one.
        window: How many requests may be in flight, 0 for no limit; no more batches than these are read ahead.
        caller: The thread where generators run.

    Raises:
        InputError: ``inputs`` hold something that is no document; also raised while iterating.
    """
    if callable(inputs) and not isinstance(inputs, type):
        inputs = _called(inputs)
        if isawaitable(inputs):
            return BatchSource(_from_awaitable(inputs, size), None)
    if isinstance(inputs, AsyncIterable):
        return BatchSource(_from_async(inputs, size), None)
    if inputs is None or _is_doc(inputs):
        inputs = cast('list[BaseDoc]', [] if inputs is None else [inputs])
    elif isinstance(inputs, str | bytes | Mapping | type) or not isinstance(inputs, Iterable):
        raise _not_a_doc('inputs are', inputs)
    if isinstance(inputs, Sequence) or hasattr(inputs, '__len__'):
        return _from_sequence(inputs, size)
    if caller.inline:
        return BatchSource(_chunks(iter(inputs), size), None)
    limit = min(window or _READ_AHEAD, _READ_AHEAD)
    return BatchSource(_from_thread(iter(inputs), size, limit, caller), None)


def _called(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except TypeError as error:
        raise InputError(
            f'inputs {function!r} can not be called: {error}', hint='give a function without arguments'
        ) from error


def _from_sequence(inputs: Any, size: int) -> BatchSource:
    from docarray import DocList  # noqa: PLC0415

    count = len(inputs)
    step = size if size > 0 else max(count, 1)
    # A slice of a DocList looks at each document again.
    valid = isinstance(inputs, DocList) and type(inputs).__getitem__ is DocList.__getitem__

    def batches() -> Iterator[DocList[Any]]:
        for start in range(0, max(count, 1), step):
            if step >= count:
                yield _doc_list(inputs, start)
            elif valid:
                yield type(inputs).construct(list.__getitem__(inputs, slice(start, start + step)))
            else:
                yield _doc_list(inputs[start : start + step], start)

    return BatchSource(batches(), max(-(-count // step), 1))


def _chunks(items: Iterator[BaseDoc], size: int) -> Iterator[DocList[Any]]:
    """Cuts an iterator into document lists; an exception of the iterator becomes an InputError."""
    start = 0
    while True:
        try:
            chunk = list(islice(items, size if size > 0 else None))
        except InputError:
            raise
        except Exception as error:
            raise _failed(error, start) from error
        if not chunk:
            return
        yield _doc_list(chunk, start)
        start += len(chunk)


async def _from_thread(items: Iterator[BaseDoc], size: int, limit: int, caller: Caller) -> AsyncIterator[DocList[Any]]:
    """Reads an iterator in the caller's thread: as many batches per change of thread as are there in no time."""
    chunks = _chunks(items, size)

    def pull() -> tuple[list[DocList[Any]], Exception | None, bool]:
        batches: list[DocList[Any]] = []
        until = time.perf_counter() + _READ_AHEAD_S
        try:
            for batch in chunks:
                batches.append(batch)
                if len(batches) >= limit or time.perf_counter() > until:
                    return batches, None, False
        except Exception as error:  # noqa: BLE001 - raised below, after the batches before it
            return batches, error, True
        return batches, None, True

    ended = False
    while not ended:
        batches, error, ended = await caller.call(pull)
        for batch in batches:
            yield batch
        if error is not None:
            raise error


async def _from_async(items: AsyncIterable[BaseDoc], size: int) -> AsyncIterator[DocList[Any]]:
    start = 0
    chunk: list[BaseDoc] = []
    try:
        async for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield _doc_list(chunk, start)
                start += len(chunk)
                chunk = []
    except InputError:
        raise
    except Exception as error:
        raise _failed(error, start + len(chunk)) from error
    if chunk:
        yield _doc_list(chunk, start)


async def _from_awaitable(inputs: Awaitable[Any], size: int) -> AsyncIterator[DocList[Any]]:
    from jina.client.loop import INLINE  # noqa: PLC0415 - loop.py registers process hooks, only calls need it

    try:
        resolved = await inputs
    except Exception as error:
        raise _failed(error, 0) from error
    async for batch in batches_of(resolved, size, 0, INLINE):
        yield batch


def _is_doc(item: object) -> bool:
    from docarray import BaseDoc  # noqa: PLC0415 - heavy, and loaded already wherever documents are

    return isinstance(item, BaseDoc)


def _doc_list(items: Any, start: int) -> DocList[Any]:
    """Makes a DocList of items, typed if all have the same type.

    Args:
        items: A list, a slice of one, or a DocList.
        start: Position of the first item in the inputs, for messages.
    """
    from docarray import BaseDoc, DocList, DocVec  # noqa: PLC0415

    if isinstance(items, DocList):
        return items
    if isinstance(items, DocVec):
        return items.to_doc_list()
    kinds = {type(item) for item in items}
    if any(not issubclass(kind, BaseDoc) for kind in kinds):
        index, item = next((i, item) for i, item in enumerate(items) if not isinstance(item, BaseDoc))
        raise _not_a_doc(f'inputs[{start + index}] is', item)
    if len(kinds) == 1:
        typed: Any = DocList[kinds.pop()]  # type: ignore[misc]
        return cast('DocList[Any]', typed(items))
    return DocList(items)


def _not_a_doc(what: str, value: object) -> InputError:
    if isinstance(value, type):
        return InputError(
            f'{what} the class {value.__name__}, not a document', hint=f'give an instance: {value.__name__}(...)'
        )
    return InputError(
        f'{what} of type {type(value).__name__}, not a document: {value!r:.100}',
        hint='build documents, for example TextDoc(text=...) from docarray.documents',
    )


def _failed(error: Exception, position: int) -> InputError:
    return InputError(f'inputs raised {error!r} after {position} documents')
