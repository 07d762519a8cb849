"""How many requests a process works on, how many may wait, and what becomes of the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from jina.core.config import PodOptions
from jina.core.errors import JinaError, OverloadError
from jina.core.payloads import Payload
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.wire import EndpointsProto
from jina.runtime.fast_lane import Begin, Finish
from jina.runtime.service import Cancel, Finished, RequestService, count_refusal, waiting
from jina.runtime.stream_items import Render, StreamItem, wire_item


class Admission:
    """Gives places to requests, first come, first served.

    Args:
        concurrency: How many have a place at the same time.
        queue: How many may wait for one.
        name: How the process calls itself in messages.
    """

    def __init__(self, concurrency: int, queue: int, name: str) -> None:
        self._concurrency = concurrency
        self._queue_limit = queue
        self._name = name
        self._working = 0
        self._waiting: deque[Place] = deque()
        self._impatient = 0
        self._advancing = False
        self._watchers: list[Callable[[], object]] = []

    @property
    def capacity(self) -> int:
        """How many requests may be in the process, at work or waiting."""
        return self._concurrency + self._queue_limit

    @property
    def is_full(self) -> bool:
        """Whether the next request is refused, unless it is patient."""
        return self._working >= self._concurrency and self._impatient >= self._queue_limit

    @property
    def is_crowded(self) -> bool:
        """Whether so many wait that who sends patient requests shouldn't be read."""
        return self._working >= self._concurrency and len(self._waiting) >= self._queue_limit

    def when_room(self, call: Callable[[], object]) -> None:
        """Calls back once, as soon as it isn't crowded."""
        self._watchers.append(call)

    def ask(self, begin: Callable[[Place], None], *, patient: bool) -> Place:
        """Asks for a place.

        Args:
            begin: Called when there is one, perhaps at once.
            patient: Wait however many do, without being one of ``queue``: who asks reads no more requests meanwhile.

        Raises:
            OverloadError: All places are taken, and enough wait.
        """
        place = Place(self, begin, patient)
        if self._working < self._concurrency and not self._waiting:
            self._start(place)
        elif patient or self._impatient < self._queue_limit:
            self._waiting.append(place)
            self._impatient += not patient
        else:
            raise OverloadError(
                f'{self._name} {OverloadError.MARK} of {self._concurrency} requests, and {self._queue_limit} more wait',
                hint='send it again later, or raise max_concurrency or max_queue of the server',
            )
        return place

    def leave(self, place: Place) -> None:
        """Gives the place of a request that is over to the next one."""
        if place.begins is None:
            self._working -= 1
            self._advance()
        else:
            self._waiting.remove(place)
            self._impatient -= not place.patient
        if self._watchers and not self.is_crowded:
            watchers, self._watchers = self._watchers, []
            for call in watchers:
                call()

    def _advance(self) -> None:
        if self._advancing:  # a request that is answered at once leaves inside of its own start
            return
        self._advancing = True
        try:
            while self._waiting and self._working < self._concurrency:
                place = self._waiting.popleft()
                self._impatient -= not place.patient
                self._start(place)
        finally:
            self._advancing = False

    def _start(self, place: Place) -> None:
        self._working += 1
        begin, place.begins = place.begins, None
        assert begin is not None
        begin(place)


class Place:
    """A request that has a place or waits for one."""

    __slots__ = ('_admission', '_over', 'begins', 'cancel', 'patient')

    def __init__(self, admission: Admission, begins: Callable[[Place], None], patient: bool) -> None:
        self._admission = admission
        self._over = False
        self.patient = patient
        self.begins: Callable[[Place], None] | None = begins
        """What starts it; None once it has started."""
        self.cancel: Cancel | None = None
        """Ends the work on it."""

    def leave(self) -> bool:
        """Gives the place back; returns False if that was done before."""
        if self._over:
            return False
        self._over = True
        self.cancel = None
        self._admission.leave(self)
        return True

    def abandon(self) -> None:
        """Ends the work, or the wait for it; nobody needs the response."""
        cancel = self.cancel
        if self.leave() and cancel is not None:
            cancel()


class LimitedService:
    """A service that takes no more requests than it has places for. All else is that of the service behind it.

    Args:
        service: What answers.
        admission: Has the places.
        patient: Requests wait for a place however many do.
    """

    def __init__(self, service: RequestService, admission: Admission, *, patient: bool = False) -> None:
        self._service: Any = service
        self.admission = admission
        self._patient = patient
        self.name = service.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def patient(self) -> LimitedService:
        """Returns the same service for requests that wait however many do."""
        return type(self)(self._service, self.admission, patient=True)

    def waiting(self) -> LimitedService:
        """Returns the same service for requests that wait where Executors behind it would refuse them."""
        return type(self)(waiting(self._service), self.admission, patient=self._patient)

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Cancel | None:
        """Starts to answer a serialised request as soon as it has a place; the arguments are those of the service."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        service_begin: Begin = self._service.begin

        def start(place: Place) -> None:
            def finished(raw: Payload, failed: bool, error: JinaError | None = None) -> None:
                place.leave()
                finish(raw, failed, error)

            left = None if timeout is None else max(0.0, timeout - (loop.time() - asked_at))
            place.cancel = service_begin(raw, finished, many=many, metadata=metadata, timeout=left)

        try:
            return self._ask(start).abandon
        except OverloadError as error:
            finish(b'', True, error)
            return None

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel | None:
        """Starts to answer a request as soon as it has a place; the arguments are those of the service."""

        def start(place: Place) -> None:
            def done(response: DataRequest | None, error: Exception | None) -> None:
                place.leave()
                finished(response, error)

            place.cancel = self._service.begin_request(request, done, with_routes=with_routes)

        try:
            return self._ask(start).abandon
        except OverloadError as error:
            finished(None, error)
            return None

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers a request as soon as it has a place.

        Raises:
            OverloadError: There is none.
        """
        async with self._place():
            response: DataRequest = await self._service.process(request, metadata=metadata, timeout=timeout)
            return response

    async def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers a document with many as soon as it has a place, which it keeps to the end of the stream.

        Raises:
            OverloadError: There is none.
        """
        async with (
            self._place(),
            contextlib.aclosing(self._service.stream(request, timeout=timeout, render=render)) as items,
        ):
            async for item in items:
                yield item

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of the endpoints."""
        found: EndpointsProto = await self._service.endpoints()
        return found

    async def dry_run(self) -> None:
        """Returns when a request could be answered, if it had a place."""
        await self._service.dry_run()

    async def close(self) -> None:
        """Closes the service."""
        await self._service.close()

    def _ask(self, begin: Callable[[Place], None]) -> Place:
        try:
            return self.admission.ask(begin, patient=self._patient)
        except OverloadError:
            count_refusal(self._service, 'overload')
            raise

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def enter(_: Place) -> None:
            if not entered.done():
                entered.set_result(None)

        place = self._ask(enter)
        try:
            await entered
            yield
        finally:
            place.leave()


class LimitedWorker(LimitedService):
    """The same in front of an Executor, which also takes several requests as one."""

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches as soon as they have a place, one for all.

        Raises:
            OverloadError: There is none.
        """
        async with self._place():
            answer: Coroutine[Any, Any, DataRequest] = self._service.process_many(
                requests, metadata=metadata, timeout=timeout
            )
            return await answer


def admission_of(options: PodOptions) -> Admission | None:
    """Returns the places that a process has; None for no limit."""
    if options.max_concurrency is None:
        return None
    name: str = getattr(options, 'runtime_name', 'the server')
    return Admission(options.max_concurrency, options.queue_limit, name)


def limited(service: Any, admission: Admission | None) -> Any:
    """Returns what a server serves: the service itself, unless there is a limit."""
    if admission is None:
        return service
    return (LimitedWorker if hasattr(service, 'process_many') else LimitedService)(service, admission)
