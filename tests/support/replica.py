"""Forks an Executor for each line with a port on standard input; it prints the port and its process id when it serves.

If it doesn't, the port and the reason.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests
from jina.core.config import ExecutorOptions
from jina.runtime.process import serve


class Replica(Executor):
    """Takes its time for each request, and says who it is."""

    @requests(on='/pid')
    async def pid(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        await asyncio.sleep(0.1)
        for doc in docs:
            doc.text = f'{doc.text} {os.getpid()}'
        return docs


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to wait for children that were killed
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            options = ExecutorOptions(uses=Replica, name='replica', host='127.0.0.1', port=int(line))
            try:
                serve(options, on_ready=lambda addresses: print(addresses[0].port, os.getpid(), flush=True))
            except Exception as error:
                print(int(line), f'failed: {error!r}', flush=True)
            finally:
                os._exit(0)


if __name__ == '__main__':
    main()
