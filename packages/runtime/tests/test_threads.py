from __future__ import annotations

import asyncio
import threading

import pytest
from jina.runtime.threads import CallThreads


async def test_results_and_errors_reach_the_loop() -> None:
    threads = CallThreads(1, 'calls')
    assert await threads.run(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
    threads.close()


async def test_one_thread_runs_calls_one_after_the_other_in_order() -> None:
    threads = CallThreads(1, 'calls')
    running, order = [0], []

    def call(number: int) -> None:
        running[0] += 1
        assert running[0] == 1
        order.append(number)
        running[0] -= 1

    await asyncio.gather(*(threads.run(lambda number=number: call(number)) for number in range(50)))
    assert order == list(range(50))
    threads.close()


async def test_several_threads_run_calls_at_the_same_time() -> None:
    threads = CallThreads(3, 'calls')
    barrier = threading.Barrier(3)
    await asyncio.wait_for(asyncio.gather(*(threads.run(barrier.wait) for _ in range(3))), 5)
    threads.close()


async def test_cancelled_call_that_waits_never_starts() -> None:
    threads = CallThreads(1, 'calls')
    started, release, ran = threading.Event(), threading.Event(), []

    def block() -> None:
        started.set()
        release.wait(5)

    first = threads.run(block)
    second = threads.run(lambda: ran.append(2))
    third = threads.run(lambda: ran.append(3))
    await asyncio.to_thread(started.wait, 5)
    second.cancel()
    release.set()
    await asyncio.gather(first, third)
    assert ran == [3]
    threads.close()


async def test_stop_iteration_and_system_exit_do_not_break_the_loop() -> None:
    threads = CallThreads(1, 'calls')

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match='StopIteration'):
        await threads.run(lambda: next(iter(())))
    with pytest.raises(RuntimeError, match=r'SystemExit\(3\)'):
        await threads.run(leave)
    threads.close()


async def test_threads_are_daemons_and_end_on_close() -> None:
    threads = CallThreads(2, 'ending')
    await threads.run(lambda: None)
    (thread,) = (one for one in threading.enumerate() if one.name == 'ending-0')
    assert thread.daemon
    threads.close()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()
