"""Clients in threads that always have something to ask while processes come and go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Client

Texts = DocList[TextDoc]


class Callers:
    """What they have in common; ``_run`` is what each of them does until ``_stop`` is set."""

    def __init__(self, port: int, protocol: str) -> None:
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._address: dict[str, Any] = {'port': port, 'protocol': protocol}
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]

    def _run(self) -> None:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _ask_for_all(self, client: Client, size: int) -> Texts:
        """Sends numbered documents; a number that is lost or comes twice is a failure."""
        inputs = Texts([TextDoc(text=str(number)) for number in range(size)])
        docs: Texts = client.post('/', inputs, request_size=1, return_type=Texts)
        numbers = sorted(int(doc.text.split(':')[0]) for doc in docs)
        if numbers != list(range(size)):
            self.failures.append(f'got {numbers}')
        return docs
