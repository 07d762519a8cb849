"""Executors of the tests."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, requests


class Append(Executor):
    """Appends a text to every document."""

    def __init__(self, text: str = 'x', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text

    @requests
    def append(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = (doc.text or '') + self.text
        return docs

    @requests(on='/pid')
    def tell_pid(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = f'{os.getpid()} {os.environ.get("FLAVOUR", "")} {self.runtime_args.name}'
        return docs

    @requests(on='/slow')
    def slow(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        time.sleep(0.5)
        return docs

    @requests(on='/die')
    def die(self, **kwargs: Any) -> None:
        print('about to die')
        os._exit(7)


class SlowToClose(Append):
    """Writes a file a while after its close began."""

    def close(self) -> None:
        time.sleep(0.3)
        with open(os.path.join(self.text, 'closed'), 'w') as file:
            file.write('closed')


class Broken(Executor):
    """Can't be made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        raise ValueError('no model here')


class WarmUp(Append):
    """Takes a moment before it is ready."""

    def warm_up(self) -> None:
        time.sleep(0.3)
        self.text += ' warm'


class NeverWarm(Executor):
    """Fails in its warm-up, or never ends it."""

    def __init__(self, hang: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hang = hang

    async def warm_up(self) -> None:
        if self.hang:
            await asyncio.Event().wait()
        raise ValueError('no weights here')
