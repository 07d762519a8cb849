from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest
from jina.runtime.threads import CallThreads
from jina.runtime.turns import TURN_S, Turns

pytestmark = pytest.mark.skipif(
    not getattr(sys, '_is_gil_enabled', lambda: True)(), reason='without the lock nothing takes turns'
)


def test_a_turn_holds_as_many_calls_as_fit_into_it() -> None:
    turns = Turns()
    assert turns.begin(0.0) == 1
    for number in range(200):
        turns.end(number, number + TURN_S / 10, 1)
    assert 8 <= turns.begin(300.0) <= 10
    for number in range(200):
        turns.end(number, number + TURN_S, 1)
    assert turns.begin(300.0) == 1


def test_calls_that_take_longer_pause_the_turns_for_longer_each_time() -> None:
    turns, now, pauses = Turns(), 0.0, []
    for _ in range(9):
        turns.end(now, now + TURN_S, 0)
        now += TURN_S
        pause = next(tenths / 10 for tenths in range(1, 100) if turns.begin(now + tenths / 10 + 0.001))
        pauses.append(pause)
        now += pause + 0.001
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4, 6.4]
    turns.end(now, now + TURN_S / 2, 1)
    assert turns.begin(now + TURN_S)
    turns.end(now, now + TURN_S, 0)
    assert not turns.begin(now + TURN_S + 0.09)
    assert turns.begin(now + TURN_S + 0.11)


def test_waking_early_without_a_result_is_no_reason_to_pause() -> None:
    turns = Turns()
    turns.end(0.0, TURN_S / 100, 0)
    assert turns.begin(TURN_S)


def test_several_threads_take_no_turns() -> None:
    assert Turns(enabled=False).begin(1e9) == 0


@pytest.mark.skipif(not hasattr(time, 'pthread_getcpuclockid'), reason="the system doesn't tell a thread's time")
async def test_calls_that_wait_for_something_run_beside_the_loop() -> None:
    threads = CallThreads(1, 'waiting')
    turns = threads._turns
    nap = threading.Event()
    for _ in range(100):
        await threads.run(lambda: nap.wait(TURN_S / 4))
        if not turns.begin(time.perf_counter()):
            break
    else:
        pytest.fail('the loop still waits for a thread that waits')
    threads.close()


async def test_the_loop_does_nothing_else_while_a_short_call_runs() -> None:
    threads = CallThreads(1, 'short')
    events: list[str] = []
    await threads.run(lambda: None)

    def call() -> None:
        events.append('called')

    future = threads.run(call)
    loop = asyncio.get_running_loop()
    # The turn is taken in this round, what the next round does comes after its result.
    loop.call_soon(lambda: loop.call_soon(events.append, 'next round'))
    await future
    await asyncio.sleep(0)
    assert events[:2] == ['called', 'next round'] or not threads._turns.begin(time.perf_counter())
    threads.close()


async def test_a_long_call_leaves_the_loop_alone() -> None:
    threads = CallThreads(1, 'long')
    release = threading.Event()
    future = threads.run(lambda: release.wait(20))
    for _ in range(3):
        await asyncio.sleep(0)
    began = time.perf_counter()
    for _ in range(1000):
        await asyncio.sleep(0)
    rounds_took = time.perf_counter() - began
    release.set()
    assert await future
    assert rounds_took < 1000 * TURN_S / 2
    threads.close()


async def test_what_comes_during_turns_is_all_answered_in_order() -> None:
    threads = CallThreads(1, 'many')
    order: list[int] = []

    def call(number: int) -> int:
        order.append(number)
        if number % 97 == 0:
            time.sleep(TURN_S * 2)  # too long for a turn
        return number

    async def caller(first: int) -> list[int]:
        return [await threads.run(lambda number=number: call(number)) for number in range(first, first + 50)]  # type: ignore[misc]

    answers = await asyncio.wait_for(asyncio.gather(*(caller(1000 * index) for index in range(40))), 60)
    assert answers == [list(range(1000 * index, 1000 * index + 50)) for index in range(40)]
    assert len(order) == 2000
    threads.close()
