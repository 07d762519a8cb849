"""Serves a Flow of three with whichever ``jina`` this interpreter has, and says which process is an Executor's."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from docarray import DocList
from docarray.documents import TextDoc
from jina import Executor, Flow, requests


class Echo(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = str(os.getpid())
        return docs


def main() -> None:
    flow = Flow().add(uses=Echo).add(uses=Echo).add(uses=Echo)
    with flow:
        answer = flow.post('/echo', DocList[TextDoc]([TextDoc(text='')]), return_type=DocList[TextDoc])
        print(json.dumps({'pid': int(answer[0].text)}), flush=True)
        threading.Event().wait()


if __name__ == '__main__':
    main()
