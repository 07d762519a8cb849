"""Serves what the first argument says until it is killed, or is a client: ``deployment``, ``flow``, ``watched-flow``,
``guarded-deployment``, ``http-flow``, ``websocket-flow`` or ``client PORT``.
"""

from __future__ import annotations

import json
import sys
import threading

if sys.argv[1] == 'client':
    from docarray import DocList
    from docarray.documents import TextDoc
    from jina import Client

    answer = Client(port=int(sys.argv[2])).post(
        '/', DocList[TextDoc]([TextDoc(text='a')]), return_type=DocList[TextDoc]
    )
    print(json.dumps({'text': answer[0].text}), flush=True)
    threading.Event().wait()
else:
    from jina import Deployment, Flow

    served = {
        'deployment': Deployment,
        'flow': lambda: Flow().add().add(),
        'watched-flow': lambda: Flow(monitoring=True).add().add(),
        'guarded-deployment': lambda: Deployment(api_key='let-me-in', max_request_bytes=1000),
        'http-flow': lambda: Flow(protocol='http').add(),
        'websocket-flow': lambda: Flow(protocol='websocket').add(),
    }[sys.argv[1]]()
    with served:
        ports = [deployment.ports[0] for _, deployment in served] if isinstance(served, Flow) else []
        print(json.dumps({'port': served.port, 'executors': ports}), flush=True)
        threading.Event().wait()
