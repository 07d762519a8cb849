"""A request's way through a chain of Executors by callbacks: a task per request would cost more than all the rest.

Whatever can't be done at once is left to a task: the first request to an Executor, and what fails and is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from jina.core.errors import JinaError
from jina.core.request import DataRequest
from jina.runtime.service import Finished, begin_by_task
from jina.runtime.walker import State, Visit, Walker

_T = TypeVar('_T')


class Passage:
    """One request in a chain.

    Args:
        walker: Knows the plan and the Executors.
        visit: The notes of the request.
        finished: Takes the response, or what failed instead.
        with_routes: The response tells where the request was.
    """

    __slots__ = ('_cancel', '_finished', '_index', '_visit', '_walker', '_with_routes')

    def __init__(self, walker: Walker, visit: Visit, finished: Finished, *, with_routes: bool = True) -> None:
        self._walker = walker
        self._visit = visit
        self._finished = finished
        self._with_routes = with_routes
        self._index = 0
        self._cancel: Callable[[], object] | None = None

    def cancel(self) -> None:
        """Ends the work; nobody waits for the response any more."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def go(self, state: State) -> None:
        """Starts with the request itself."""
        self._guarded(self._go, state)

    def _guarded(self, function: Callable[[_T], None], value: _T) -> None:
        try:
            function(value)
        except JinaError as error:
            self._finished(None, error)
        except Exception as error:  # noqa: BLE001 - who calls back reads the answers of other requests too
            asyncio.get_running_loop().call_exception_handler({'message': 'a request failed', 'exception': error})
            self._finished(None, JinaError(f'Unexpected {type(error)}: {error}'))

    def _go(self, state: State) -> None:
        walker, visit = self._walker, self._visit
        steps = walker.steps
        while self._index < len(steps) and not state.request.is_error:
            step = steps[self._index]
            if not walker.concerns(step, visit):
                self._index += 1
                continue
            if step.when is not None:
                state = walker.filter(step, state, visit)
                if state.request.is_error:
                    break
            self._cancel = walker.groups[step.index].begin(
                state.raw, visit.endpoint, self._answered, metadata=visit.metadata, timeout=visit.time_left()
            )
            if self._cancel is None:
                self._cancel = begin_by_task(self._walk_on(state), self._finished)
            return
        self._finished(walker.complete(state, visit) if self._with_routes else state.request, None)

    def _answered(self, answer: bytes, retry: Callable[[], Coroutine[Any, Any, bytes]] | None) -> None:
        if retry is None:
            self._cancel = None
            self._guarded(self._take, answer)
        else:
            self._cancel = begin_by_task(self._recover(retry), self._finished)

    def _take(self, answer: bytes) -> None:
        self._go(self._arrived(answer))

    async def _recover(self, retry: Callable[[], Coroutine[Any, Any, bytes]]) -> DataRequest:
        return await self._walk_on(self._arrived(await retry()))

    def _arrived(self, answer: bytes) -> State:
        state = self._walker.arrived(self._walker.steps[self._index], answer, self._visit)
        self._index += 1
        return state

    async def _walk_on(self, state: State) -> DataRequest:
        walker, visit = self._walker, self._visit
        for step in walker.steps[self._index :]:
            state = await walker.take(step, (state,), visit)
        return walker.complete(state, visit)
