"""A worker whose Executor is replaced, in place, when its files change: ``reload=True``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from jina.core.config import ExecutorOptions
from jina.core.errors import JinaError, MissingExtraError
from jina.core.executor import BaseExecutor
from jina.core.logging.logger import JinaLogger
from jina.core.payloads import Payload
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.schema import EndpointSchema
from jina.core.wire import EndpointsProto
from jina.runtime.fast_lane import Finish
from jina.runtime.service import Cancel, Finished, begin_by_task
from jina.runtime.sources import Sources, class_afresh, loaded_afresh, sources_of
from jina.runtime.stream_items import Render, StreamItem, wire_item
from jina.runtime.worker import WorkerService

_QUIET_MS: Final = 100
"""Saves that follow each other faster than this are one change."""
_LOOK_MS: Final = 1000
"""How long after the start the files are looked at for what was saved before that."""


class ReloadingService:
    """Answers requests with the methods of an Executor, as ``WorkerService``, and follows changes of its files.

    Requests in flight finish on the code that they began with, whose Executor is closed after the last of them. Code
    that can't be loaded is reported, and the code from before goes on.

    Args:
        options: Which Executor, and how to run it.
        logger: Logger of the process.
        instruments: ``tracer``, ``meter`` and ``measures`` of the process, those that it has.

    Raises:
        ConfigError: The Executor or its configuration is wrong.
        MissingExtraError: The package watchfiles isn't installed.
        Exception: What the Executor's ``__init__`` raises.
    """

    def __init__(
        self, options: ExecutorOptions, *, logger: JinaLogger, instruments: Mapping[str, Any] | None = None
    ) -> None:
        self._watch_files = _watcher()
        sys.dont_write_bytecode = True  # see loaded_afresh
        self.name = options.runtime_name
        self.logger = logger
        self.on_fatal: Callable[[BaseException], None] = lambda _: None
        """Called with an exception that ``exit_on_exceptions`` names."""
        self.on_change: Callable[[], Any] = lambda: None
        """Called after the Executor was replaced."""
        self._options = options
        self._instruments = instruments
        self._loaded_ns = time.time_ns()
        self._current = _Generation(self._make(options))
        self._sources = sources_of(options, self.executor)
        self._warn()
        self._watching: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def executor(self) -> BaseExecutor:
        """The Executor that gets new requests."""
        return self._current.service.executor

    @property
    def endpoint_schemas(self) -> dict[str, EndpointSchema]:
        """Types of all endpoints by name."""
        return self._current.service.endpoint_schemas

    @property
    def has_warm_up(self) -> bool:
        """Whether the Executor has something to do before it answers its first request."""
        return self._current.service.has_warm_up

    async def start(self) -> None:
        """Warms the Executor up, and starts to watch its files.

        Raises:
            Exception: What ``warm_up`` raises.
        """
        await self._current.service.start()
        self._watching = asyncio.create_task(self._watch())

    def begin(
        self,
        raw: Payload,
        finish: Finish,
        *,
        many: bool = False,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Callable[[], object] | None:
        """Starts to answer a serialised request, see ``WorkerService.begin``."""
        call = _Call(self._current, finish)
        call.work = self._current.service.begin(raw, call, many=many, metadata=metadata, timeout=timeout)
        return call.cancel if call.work is not None else None

    def begin_request(self, request: DataRequest, finished: Finished, *, with_routes: bool = True) -> Cancel:
        """Starts to answer a request, see ``WorkerService.begin_request``."""
        return begin_by_task(self.process(request, metadata=request.trace), finished)

    async def process(
        self, request: DataRequest, *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers one request, see ``WorkerService.process``."""
        with self._current.busy() as service:
            return await service.process(request, metadata=metadata, timeout=timeout)

    async def process_many(
        self, requests: Sequence[DataRequest], *, metadata: Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> DataRequest:
        """Answers the requests of several branches with one response, see ``WorkerService.process_many``."""
        with self._current.busy() as service:
            return await service.process_many(requests, metadata=metadata, timeout=timeout)

    async def stream(
        self, request: SingleDocumentRequest, *, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Answers one document with many, see ``WorkerService.stream``."""
        with self._current.busy() as service:
            async with contextlib.aclosing(service.stream(request, timeout=timeout, render=render)) as responses:
                async for response in responses:
                    yield response

    async def endpoints(self) -> EndpointsProto:
        """Names and schemas of the Executor's endpoints."""
        return await self._current.service.endpoints()

    async def dry_run(self) -> None:
        """Returns at once: an Executor that is loaded can answer."""

    def flush(self) -> None:
        """Runs what waits for a batch; from now on nothing waits."""
        self._current.service.flush()

    async def close(self) -> None:
        """Stops watching and closes the Executor."""
        tasks = [*self._retiring, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._current.service.close()

    def _make(self, options: ExecutorOptions) -> WorkerService:
        service = WorkerService(options, logger=self.logger, instruments=self._instruments)
        service.on_fatal = lambda error: self.on_fatal(error)
        return service

    def _warn(self) -> None:
        """Says so if the code itself can't be followed."""
        kind = type(self.executor)
        if self._sources.has_code or kind is BaseExecutor:
            return
        self.logger.warning(
            'reload can not follow the code of %s: it is defined in %r, which can not be imported again; '
            'put the class into a module of its own',
            kind.__name__,
            kind.__module__,
        )

    async def _watch(self) -> None:
        try:
            while self._sources.watched:
                sources = self._sources
                is_first = True
                changes = self._watch_files(
                    *sources.watched,
                    watch_filter=lambda _, path, sources=sources: sources.concerns(path),
                    step=_QUIET_MS,
                    rust_timeout=_LOOK_MS,
                    yield_on_timeout=True,
                )
                async with contextlib.aclosing(changes):
                    async for found in changes:
                        paths = {path for _, path in found}
                        if is_first:  # what was saved while the Executor was made, before anything was watched
                            paths.update(await asyncio.to_thread(sources.changed_since, self._loaded_ns))
                            is_first = False
                        if not paths:
                            continue
                        await self._reload(sorted(paths))
                        if self._sources.watched != sources.watched:
                            break
        except Exception as error:
            self.logger.error('files of the Executor are not watched any more: %s', error, exc_info=error)

    async def _reload(self, paths: Sequence[str]) -> None:
        yaml = self._sources.yaml
        if yaml is not None and str(yaml) in paths:
            self.logger.info('change in Executor configuration YAML %s observed, reloading the Executor', yaml)
        else:
            self.logger.info('detected changes in: %s. Refreshing the Executor', list(paths))
        began_ns = time.time_ns()
        try:
            with loaded_afresh(self._sources):
                service, sources = await self._load()
        except (Exception, SystemExit) as error:
            self.logger.error('the change can not be loaded, the code from before goes on', exc_info=error)
            return
        before, self._current = self._current, _Generation(service)
        self._sources = sources
        self._loaded_ns = began_ns
        before.service.flush()
        task = asyncio.create_task(self._retire(before))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        self.logger.info('the Executor %s was reloaded', type(self.executor).__name__)
        self.on_change()

    async def _load(self) -> tuple[WorkerService, Sources]:
        options = self._options
        uses = options.uses
        if isinstance(uses, type) and uses.__module__ != '__main__':
            options = options.model_copy(update={'uses': class_afresh(uses)})
        service = self._make(options)
        try:
            sources = sources_of(options, service.executor)
            await service.start()
        except BaseException:
            await service.close()
            raise
        return service, sources

    async def _retire(self, generation: _Generation) -> None:
        """Closes an Executor after its last request."""
        try:
            await generation.idle()
        finally:
            try:
                await generation.service.close()
            except Exception as error:
                self.logger.error('the replaced Executor failed to close', exc_info=error)


class _Generation:
    """One version of the code, and how many requests are on it."""

    def __init__(self, service: WorkerService) -> None:
        self.service = service
        self._in_flight = 0
        self._waiter: asyncio.Future[None] | None = None

    def enter(self) -> None:
        self._in_flight += 1

    def leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @contextlib.contextmanager
    def busy(self) -> Iterator[WorkerService]:
        self.enter()
        try:
            yield self.service
        finally:
            self.leave()

    async def idle(self) -> None:
        """Returns when no request is on it. None begins after its replacement."""
        if self._in_flight:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


class _Call:
    """A request that was begun; calling it finishes it."""

    def __init__(self, generation: _Generation, finish: Finish) -> None:
        self.work: Callable[[], object] | None = None
        self._generation = generation
        self._finish = finish
        self._over = False
        generation.enter()

    def __call__(self, raw: Payload, failed: bool, error: JinaError | None = None) -> None:
        self._leave()
        self._finish(raw, failed, error)

    def cancel(self) -> None:
        self._leave()
        if self.work is not None:
            self.work()

    def _leave(self) -> None:
        if not self._over:
            self._over = True
            self._generation.leave()


def _watcher() -> Any:
    try:
        import watchfiles  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError('watchfiles, which reload needs,', install='jina-runtime[reload]') from error
    return watchfiles.awatch
