"""Calls every endpoint of a served documents.Peer and prints what came back as one JSON object."""

import argparse
import asyncio
import json
import sys
from typing import Any, Callable, Dict

import numpy as np
from docarray import DocList
from docarray.documents import TextDoc
from documents import DIMENSIONS, Page, Part, Vector
from jina import Client


def echo(client: Any) -> Any:
    docs = client.post('/echo', inputs=TextDoc(id='one', text='hello'), return_type=DocList[TextDoc])
    return [[doc.id, doc.text] for doc in ([docs] if isinstance(docs, TextDoc) else docs)]


def many(client: Any, **options: Any) -> Any:
    inputs = DocList[TextDoc]([TextDoc(id=f'd{i:02}', text=f't{i}') for i in range(25)])
    docs = client.post('/echo', inputs=inputs, return_type=DocList[TextDoc], request_size=10, **options)
    return [[doc.id, doc.text] for doc in docs]


def unordered(client: Any) -> Any:
    return sorted(many(client))


def ordered(client: Any) -> Any:
    return many(client, results_in_order=True)


def vector(client: Any) -> Any:
    rows = np.linspace(-1.0, 1.0, 3 * DIMENSIONS, dtype=np.float32).reshape(3, DIMENSIONS)
    inputs = DocList[Vector]([Vector(text=str(i), embedding=row) for i, row in enumerate(rows)])
    docs = client.post('/vector', inputs=inputs, return_type=DocList[Vector])
    arrays = [np.asarray(doc.embedding) for doc in docs]
    return {
        'shapes': [list(array.shape) for array in arrays],
        'sums': [round(float(np.abs(array).sum()), 3) for array in arrays],
        'first': round(float(arrays[0][0]), 4),
    }


def nested(client: Any) -> Any:
    page = Page(
        id='page',
        title='title',
        cover=Part(id='cover', label='front', weight=1.5),
        parts=DocList[Part]([Part(id='p0', label='zero', weight=0.25), Part(id='p1', label='one')]),
        tags={'colour': 'red', 'sizes': [1, 2], 'inner': {'deep': 'yes'}},
        count=3,
    )
    (doc,) = client.post('/nested', inputs=DocList[Page]([page]), return_type=DocList[Page])
    return {
        'id': doc.id,
        'title': doc.title,
        'cover': [doc.cover.id, doc.cover.label, doc.cover.weight],
        'parts': [[part.label, part.weight] for part in doc.parts],
        'tags': {key: doc.tags[key] for key in ('colour', 'inner', 'seen')},
        'count': doc.count,
        'seen': doc.seen,
    }


def parameters(client: Any) -> Any:
    values = {'top_k': 3, 'name': 'x', 'on': True, 'list': [1.5, 'a'], 'map': {'k': None}}
    docs = client.post(
        '/parameters', inputs=DocList[TextDoc]([TextDoc()]), parameters=values, return_type=DocList[TextDoc]
    )
    return json.loads(docs[0].text)


def result(client: Any) -> Any:
    inputs = DocList[TextDoc]([TextDoc(text='a'), TextDoc(text='b')])
    responses = client.post('/result', inputs=inputs, return_type=DocList[TextDoc], return_responses=True)
    return {
        'results': {key: dict(value) for key, value in responses[0].parameters.get('__results__', {}).items()},
        'texts': [doc.text for doc in responses[0].docs],
    }


def fail(client: Any) -> Any:
    try:
        client.post('/fail', inputs=DocList[TextDoc]([TextDoc(text='a')]), return_type=DocList[TextDoc])
    except Exception as error:
        return {'raised': True, 'mentions': 'boom' in str(error)}
    return {'raised': False}


def fail_status(client: Any) -> Any:
    seen = []
    inputs = DocList[TextDoc]([TextDoc(text='a')])
    client.post(
        '/fail',
        inputs=inputs,
        return_type=DocList[TextDoc],
        on_error=lambda response: seen.append(response.header.status),
    )
    (status,) = seen
    return {
        'code': status.code,
        'description': status.description,
        'name': status.exception.name,
        'args': list(status.exception.args),
        'executor': status.exception.executor,
        'stacks': 'boom' in ''.join(status.exception.stacks),
    }


async def streamed(client: Any, text: str) -> Any:
    """Needs an asynchronous client: the original has no other for this."""
    documents = client.stream_doc(on='/stream', inputs=TextDoc(id='x', text=text), return_type=TextDoc)
    return [[doc.id, doc.text] async for doc in documents]


async def stream(client: Any) -> Any:
    return await streamed(client, 'token')


async def stream_fail(client: Any) -> Any:
    try:
        return await streamed(client, 'break')
    except Exception as error:
        return {'raised': True, 'mentions': 'no more' in str(error)}


STREAMS: Dict[str, Callable[[Any], Any]] = {'stream': stream, 'stream_fail': stream_fail}
CASES: Dict[str, Callable[[Any], Any]] = {
    'echo': echo,
    'unordered': unordered,
    'ordered': ordered,
    'vector': vector,
    'nested': nested,
    'parameters': parameters,
    'result': result,
    'fail': fail,
    'fail_status': fail_status,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--protocol', default='grpc')
    parser.add_argument('--cases', nargs='*', default=list(CASES))
    options = parser.parse_args()
    address = {'host': '127.0.0.1', 'port': options.port, 'protocol': options.protocol}
    client = Client(**address)
    answers = {}
    for name in options.cases:
        try:
            if name in STREAMS:
                answers[name] = asyncio.run(STREAMS[name](Client(**address, asyncio=True)))
            else:
                answers[name] = CASES[name](client)
        except Exception as error:
            answers[name] = {'error': f'{type(error).__name__}: {error}'}
    print(json.dumps({'answers': answers}), flush=True)
    sys.stdout.flush()


if __name__ == '__main__':
    main()
