"""One call of ``post``: from inputs over requests and responses to the result."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from jina.client.callbacks import Callbacks
from jina.client.inputs import BatchSource, InputType, batches_of
from jina.client.progress import ProgressBar
from jina.client.results import ReturnShape, error_of
from jina.client.transports.base import CallOptions, RequestSource, Transport
from jina.core import codec
from jina.core.errors import CallbackError, InputError
from jina.core.parameters import RESULTS_KEY
from jina.core.request import DataRequest, Response
from jina.core.wire import DataRequestProto
from pydantic import BaseModel

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from jina.client.loop import Caller

__all__ = ['PostCall', 'fill_parameters']

_ID_LENGTH: Final = 32
_IDS_AT_ONCE: Final = 64
_BYTES_AT_ONCE: Final = 1 << 18
"""Requests are made until they have this size, before the first of them is sent."""


class Reporter(Protocol):
    """Logs what doesn't end a call."""

    def report(self, message: str) -> None:
        """Logs an error."""

    def remark(self, note: str) -> None:
        """Logs what the server remarks."""


@dataclass(frozen=True)
class PostCall:
    """The arguments of ``post``, by theme."""

    endpoint: str
    inputs: InputType
    parameters: Mapping[str, Any] | BaseModel | None
    target_executor: str | None
    request_size: int
    callbacks: Callbacks
    shape: ReturnShape
    return_responses: bool
    continue_on_error: bool
    show_progress: bool
    options: CallOptions = field(default_factory=CallOptions)

    async def run(
        self, transport: Transport, caller: Caller, reporter: Reporter
    ) -> DocList[Any] | BaseDoc | list[Response] | None:
        """Makes the call and returns the result of a synchronous ``post``.

        Args:
            transport: The connection.
            caller: The thread of the caller.
            reporter: Logs what doesn't end the call.
        """
        kept: list[Response] = []
        parts: list[DocList[Any]] = []
        consume, read = self.callbacks.consume, self.shape.read
        async with aclosing(self._batches(transport, caller, reporter)) as batches:
            async for batch, progress in batches:
                for response in batch:
                    progress.advance()
                    if self.callbacks or response.is_error:
                        await self._settle(response, caller, reporter)
                    if consume:
                        continue
                    if self.return_responses:
                        kept.append(response)
                    else:
                        parts.append(read(response))  # while the server works on the next requests
        if consume:
            return None
        return kept if self.return_responses else self.shape.join(parts)

    async def responses(
        self, transport: Transport, caller: Caller, reporter: Reporter
    ) -> AsyncGenerator[Response, None]:
        """Makes the call and yields each response after its callbacks.

        Raises:
            RemoteError: An Executor failed, and neither ``on_error`` nor ``continue_on_error`` was given.
            CallbackError: A callback raised, without ``continue_on_error``.
            InputError: The inputs hold something that can't be sent.
            TransportError: The network failed.
        """
        async with aclosing(self._batches(transport, caller, reporter)) as batches:
            async for batch, progress in batches:
                for response in batch:
                    progress.advance()
                    await self._settle(response, caller, reporter)
                    yield response

    async def _batches(
        self, transport: Transport, caller: Caller, reporter: Reporter
    ) -> AsyncGenerator[tuple[list[Response], ProgressBar], None]:
        """Makes the call and yields the responses as they come, as many at a time as there are."""
        batches = batches_of(self.inputs, self.request_size, self.options.window, caller)
        source = _Requests(batches, self)
        with ProgressBar(self.endpoint, batches.total, shown=self.show_progress) as progress:
            try:
                async with aclosing(transport.exchange(source, self.options)) as exchanged:
                    async for batch in exchanged:
                        for response in batch:
                            self.shape.prepare(response)
                        if batch and batch[0].note:
                            reporter.remark(batch[0].note)
                        yield batch, progress
            finally:
                await batches.aclose()

    async def _settle(self, response: Response, caller: Caller, reporter: Reporter) -> None:
        """Raises the error of a response or reports it, and runs the callbacks."""
        if response.is_error and self.callbacks.on_error is None:
            if not self.continue_on_error:
                raise error_of(response)
            reporter.report(str(error_of(response)))
        if not self.callbacks:
            return
        try:
            await self.callbacks.finish(await caller.call(self.callbacks.run, response))
        except CallbackError as error:
            if not self.continue_on_error:
                raise
            reporter.report(str(error))


class _Requests(RequestSource):
    """Makes a request of each batch."""

    def __init__(self, batches: BatchSource, call: PostCall) -> None:
        self.total = batches.total
        self._batches = batches
        self._failure: Exception | None = None
        template = DataRequest()
        template.exec_endpoint = call.endpoint
        if call.target_executor:
            template.target_executor = call.target_executor
        fill_parameters(template, call.parameters)
        self._template = template.proto
        self._ids: list[str] = []
        mark = '\x00' * _ID_LENGTH
        template.request_id = mark
        self._head, _, self._tail = template.to_bytes().partition(mark.encode())

    def _next_id(self) -> str:
        if not self._ids:
            # In one go: a call to the system per id takes longer than all the rest of a request's envelope.
            digits = os.urandom(_IDS_AT_ONCE * _ID_LENGTH // 2).hex()
            self._ids = [digits[i : i + _ID_LENGTH] for i in range(0, len(digits), _ID_LENGTH)]
        return self._ids.pop()

    async def next_messages(self, limit: int) -> list[tuple[str, bytes]]:
        if self._failure is not None:
            raise self._failure
        at_once = self._batches.at_once
        if at_once is None:
            docs = await anext(self._batches, None)
            return [] if docs is None else [self._message(docs)]
        messages: list[tuple[str, bytes]] = []
        size = 0
        try:
            for docs in at_once:
                message = self._message(docs)
                messages.append(message)
                size += len(message[1])
                if len(messages) >= limit or size > _BYTES_AT_ONCE:
                    break
        except Exception as error:
            if not messages:
                raise
            self._failure = error  # first go those before it
        return messages

    def _message(self, docs: DocList[Any]) -> tuple[str, bytes]:
        request_id = self._next_id()
        envelope = self._head + request_id.encode() + self._tail
        return request_id, codec.append_docs(envelope, DataRequestProto.DATA_FIELD_NUMBER, docs)

    async def __anext__(self) -> DataRequest:
        docs = await self._batches.__anext__()
        proto = DataRequestProto()
        proto.CopyFrom(self._template)
        proto.header.request_id = self._next_id()
        request = DataRequest(proto)
        request.docs = docs
        return request


def fill_parameters(request: Any, parameters: Mapping[str, Any] | BaseModel | None) -> None:
    """Sets the parameters of a request; without any, the place for the results of Executors.

    Raises:
        InputError: They are no mapping, or hold something that can't be sent.
    """
    if parameters is not None and not isinstance(parameters, Mapping | BaseModel):
        raise InputError(
            f'parameters are of type {type(parameters).__name__}: {parameters!r}',
            hint='give a dict or a pydantic model',
        )
    request.parameters = parameters or {RESULTS_KEY: {}}
