from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from jina.client.loop import background_loop, close_with_loop, drop_poller_notes, run_async
from jina.core.errors import ClientError


async def thread_name() -> str:
    return threading.current_thread().name


def test_one_loop_serves_all_threads() -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(run_async(thread_name))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ['jina-client'] * 3


async def test_works_while_the_caller_s_loop_runs() -> None:
    assert run_async(thread_name) == 'jina-client'


def test_caller_functions_run_in_the_calling_thread() -> None:
    async def work(caller: Any) -> tuple[int, int]:
        return await caller.call(threading.get_ident), threading.get_ident()

    here, there = background_loop().run(work)
    assert here == threading.get_ident() != there


def test_errors_of_caller_functions_reach_the_coroutine() -> None:
    async def work(caller: Any) -> str:
        try:
            await caller.call(int, 'x')
        except ValueError as error:
            return f'caught {type(error).__name__}'
        return 'nothing'

    assert background_loop().run(work) == 'caught ValueError'


def test_a_call_from_the_loop_itself_is_refused() -> None:
    async def inner() -> None:
        run_async(thread_name)

    with pytest.raises(ClientError, match='would wait for itself'):
        run_async(inner)


def test_interrupt_cancels_the_call() -> None:
    cancelled = threading.Event()

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def work(caller: Any) -> None:
        try:
            await caller.call(interrupt)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        background_loop().run(work)
    assert cancelled.wait(5)


def test_no_coroutine_function() -> None:
    with pytest.raises(ClientError, match='no coroutine function'):
        run_async(len, 'abc')  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_parent_and_child_can_post_after_a_fork(wire_server: Any) -> None:
    script = textwrap.dedent(f"""
        import os, sys
        from docarray.documents import TextDoc
        from jina.client import Client
        client = Client(host='localhost', port={wire_server.port})
        def text():
            return client.post('/echo', TextDoc(text='hi'), return_type=TextDoc).text
        assert text() == 'hi'
        child = os.fork()
        if child == 0:
            os._exit(7 if text() == 'hi' else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert text() == 'hi'
        """)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore::DeprecationWarning', '-c', script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_a_fork_does_not_break_an_open_stream(wire_server: Any) -> None:
    script = textwrap.dedent(f"""
        import os
        from docarray.documents import TextDoc
        from jina.client import Client
        docs = Client(host='localhost', port={wire_server.port}).stream_doc('/generate', TextDoc(text='a'), return_type=TextDoc)
        texts = [next(docs).text]
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        texts += [doc.text for doc in docs]
        assert texts == ['a 0', 'a 1', 'a 2'], texts
        """)
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_script_ends_by_itself_and_in_silence(wire_server: Any) -> None:
    script = textwrap.dedent(f"""
        import asyncio, logging
        from jina.client import Client
        # no notes on slow steps of a busy machine
        logging.getLogger('asyncio').addFilter(lambda record: record.levelno >= logging.ERROR)
        kept = Client(host='localhost', port={wire_server.port})
        kept.post('/echo')
        async def main():
            return [docs async for docs in Client(host='localhost', port={wire_server.port}, asyncio=True).post('/echo')]
        for _ in range(20):
            assert len(asyncio.run(main())) == 1
            kept.post('/echo')
        """)
    command = [sys.executable, '-X', 'dev', '-W', 'error', '-W', 'ignore::DeprecationWarning', '-c', script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, '', '')


def test_a_loop_that_ends_closes_what_is_open_on_it() -> None:
    closed: list[str] = []

    async def close() -> None:
        await asyncio.sleep(0)
        closed.append('closed')

    async def hold() -> Any:
        guard = close_with_loop(close)
        await asyncio.sleep(0)
        assert not closed
        return guard

    guard = asyncio.run(hold())
    assert closed == ['closed']
    del guard
    assert closed == ['closed']


def test_asynchronous_clients_leave_nothing_open(options: dict[str, Any], server: Any) -> None:
    script = textwrap.dedent(f"""
        import asyncio, gc
        from docarray.documents import TextDoc
        from jina.client import Client
        for reuse in (False, True):
            client = Client(**{options!r}, asyncio=True, reuse_session=reuse)
            async def main():
                texts = [TextDoc(text=str(number)) for number in range(20)]
                return [docs async for docs in client.post('/echo', texts, request_size=1)]
            async def ended_early():
                async for docs in client.stream_doc('/generate', TextDoc(text='a')):
                    break
            for function in (main, ended_early, main):
                asyncio.run(function())
            del client
            gc.collect()
        """)
    command = [sys.executable, '-W', 'error::ResourceWarning', '-W', 'error::RuntimeWarning', '-c', script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, '', '')


def test_what_grpc_makes_asyncio_report_for_nothing_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    drop_poller_notes()
    drop_poller_notes()
    logger = logging.getLogger('asyncio')
    for error, message, kept in (
        (BlockingIOError(), 'PollerCompletionQueue._handle_events', False),
        (RuntimeError('Event loop is closed'), 'PollerCompletionQueue._handle_events', False),
        (RuntimeError('Event loop is closed'), 'another callback', True),
        (ValueError('x'), 'PollerCompletionQueue._handle_events', True),
    ):
        caplog.clear()
        logger.error(message, exc_info=error)
        assert bool(caplog.records) is kept, (error, message)
