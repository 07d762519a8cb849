"""Where nothing is recorded, no code runs for it: what isn't called allocates nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from docarray import BaseDoc, DocList
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.core.lane import SharedLane
from jina.core.request import DataRequest

RECORDS = ('.measures', '.instrumentation', '.span_recording', '.observ', '.trace_context', 'telemetry')


class Text(BaseDoc):
    text: str = ''


class Echoes(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[Text], **kwargs: Any) -> DocList[Text]:
        return docs


@contextmanager
def called() -> Iterator[set[str]]:
    """The names of all modules whose functions are called meanwhile, in any thread."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == 'call':
            found.add(frame.f_globals.get('__name__', ''))

    # a process that starts threads before keeps them out: that of the method is started by the first request
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def test_no_code_that_records_runs_for_a_request(cluster: Any, request_of: Any) -> None:
    with called() as found:
        gateway = await cluster.flow(Echoes, Echoes)
        lane = SharedLane(partial(cluster.lane_call, gateway.address))
        request = request_of('/echo', 'a')
        found.clear()
        answers = [DataRequest.from_bytes(await lane.request(request.to_bytes())) for _ in range(5)]
        by_unary_call = await cluster.call(gateway.address, request)
        await lane.close()
    assert not any(answer.is_error for answer in (*answers, by_unary_call))
    assert {'jina.runtime.worker', 'jina.runtime.connections', __name__} <= found
    assert not {name for name in found if any(part in name for part in RECORDS)}
