"""One Executor that is loaded, called and closed in the process that pods are forked from, before it has any.

The interpreter writes into code that runs for the first few times, and what runs fills caches. Before the fork that happens once,
in memory that all pods share; behind it each pod would do it, in pages of its own. No thread, event loop or socket is left.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import ExecutorOptions
from jina.core.endpoints import requests
from jina.core.executor import Executor
from jina.core.payloads import Payload
from jina.core.request import DataRequest
from jina.runtime.grpc_server import GrpcServer
from jina.runtime.process import PodServer

__all__ = ['rehearse']

_CALLS: Final = 20
"""The interpreter specialises code that has run some times more often than eight."""
_WAIT_S: Final = 5.0


class _Rehearsed(Executor):
    @requests(on='/text')
    def text(self, docs: DocList[TextDoc], **_: object) -> DocList[TextDoc]:
        return docs

    @requests
    async def untyped(self, **_: object) -> None:
        """Leaves the documents as they are."""


def rehearse() -> None:
    """Runs the Executor in an event loop of its own, and returns when its threads have ended."""
    before = set(threading.enumerate())
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_run())
    finally:
        loop.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(_WAIT_S)


async def _run() -> None:
    # As in a pod, whose options come validated: nothing here may need what validates them.
    pod = PodServer(ExecutorOptions.model_construct(uses=_Rehearsed, quiet=True))
    await pod.load()
    GrpcServer(pod.service)
    request = DataRequest()
    request.docs = DocList[TextDoc]([TextDoc(text='a')])
    for endpoint in ('/text', '/'):
        request.exec_endpoint = endpoint
        raw = request.to_bytes()
        for _ in range(_CALLS):
            await asyncio.wait_for(_call(pod, raw), _WAIT_S)
    await pod.stop(0)


async def _call(pod: PodServer, raw: bytes) -> None:
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(_: Payload, failed: bool, error: Exception | None = None) -> None:
        assert not failed, error
        answered.set_result(None)

    pod.service.begin(raw, finish)
    await answered
