"""Examples of the documentation's pages, run as a user would: one script each, no ``__main__`` guard, exit status 0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import free_port

PREAMBLE = """
from jina import Client, Deployment, Executor, Flow, requests
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
"""

MINIMAL_DEPLOYMENT = (
    PREAMBLE
    + """
class MyExecutor(Executor):
    @requests(on='/bar')
    def foo(self, docs: DocList[BaseDoc], **kwargs) -> DocList[BaseDoc]:
        print(docs)

dep = Deployment(name='myexec1', uses=MyExecutor)
with dep:
    dep.post(on='/bar', inputs=BaseDoc(), return_type=DocList[BaseDoc], on_done=print)
"""
)
MINIMAL_FLOW = MINIMAL_DEPLOYMENT.replace('Deployment(name', 'Flow().add(name')

PARAMETERS = (
    PREAMBLE
    + """
class MyExecutor(Executor):
    def __init__(self, param1=1, param2=2, param3=3, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.param1, self.param2, self.param3 = param1, param2, param3

    @requests
    def foo(self, docs, **kwargs):
        print('param1:', self.param1, 'param2:', self.param2, 'param3:', self.param3, self.metas.name)

with Flow().add(uses=MyExecutor, uses_with={'param1': 10, 'param3': 30}, uses_metas={'name': 'different_name'}) as f:
    f.post('/')
"""
)

BINDINGS = (
    PREAMBLE
    + """
class MyExecutor(Executor):
    @requests
    def all_req(self, parameters, **kwargs):
        print(f'all req {parameters.get("recipient")}')
    @requests(on='/foo')
    def foo(self, parameters, **kwargs):
        print(f'foo {parameters.get("recipient")}')
    def bar(self, parameters, **kwargs):
        print(f'bar {parameters.get("recipient")}')

dep = Deployment(uses=MyExecutor, uses_requests={'/bar': 'bar', '/non_foo': 'foo', '/alias_foo': 'foo'})
with dep:
    dep.post('/bar', parameters={'recipient': 'bar()'})
    dep.post('/non_foo', parameters={'recipient': 'foo()'})
    dep.post('/foo', parameters={'recipient': 'all_req()'})
    dep.post('/alias_foo', parameters={'recipient': 'foo()'})
"""
)

NEEDS = (
    PREAMBLE
    + """
class FooExecutor(Executor):
    @requests
    async def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        docs.append(TextDoc(text=f'foo was here and got {len(docs)} document'))
class BarExecutor(Executor):
    @requests
    async def bar(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        docs.append(TextDoc(text=f'bar was here and got {len(docs)} document'))
class BazExecutor(Executor):
    @requests
    async def baz(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        docs.append(TextDoc(text=f'baz was here and got {len(docs)} document'))
class MergeExecutor(Executor):
    @requests
    async def merge(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        return docs
f = (
    Flow()
    .add(uses=FooExecutor, name='fooExecutor')
    .add(uses=BarExecutor, name='barExecutor', needs='fooExecutor')
    .add(uses=BazExecutor, name='bazExecutor', needs='fooExecutor')
    .add(uses=MergeExecutor, needs=['barExecutor', 'bazExecutor'])
)
with f:
    print(f.post('/', return_type=DocList[TextDoc]).text)
"""
)

NO_REDUCE = (
    PREAMBLE
    + """
class MyDoc(BaseDoc):
    text: str = ''
class Exec1(Executor):
    @requests
    def foo(self, docs: DocList[MyDoc], **kwargs) -> DocList[MyDoc]:
        for doc in docs:
            doc.text = 'Exec1'
class Exec2(Executor):
    @requests
    def foo(self, docs: DocList[MyDoc], **kwargs) -> DocList[MyDoc]:
        for doc in docs:
            doc.text = 'Exec2'
class MergeExec(Executor):
    @requests
    def foo(self, docs: DocList[MyDoc], docs_matrix, **kwargs) -> DocList[MyDoc]:
        documents_to_return = DocList[MyDoc]()
        for doc1, doc2 in zip(*docs_matrix):
            print(f'MergeExec processing pairs of Documents "{doc1.text}" and "{doc2.text}"')
            documents_to_return.append(MyDoc(text=f'Document merging from "{doc1.text}" and "{doc2.text}"'))
        return documents_to_return
f = (
    Flow()
    .add(uses=Exec1, name='exec1')
    .add(uses=Exec2, name='exec2')
    .add(uses=MergeExec, needs=['exec1', 'exec2'], no_reduce=True)
)
with f:
    returned_docs = f.post(on='/', inputs=MyDoc(), return_type=DocList[MyDoc])
print(f'Resulting documents {returned_docs[0].text}')
"""
)

CONDITIONS = (
    PREAMBLE
    + """
from typing import Dict
class MyDoc(BaseDoc):
    text: str = ''
    tags: Dict[str, int]
class MyExec(Executor):
    @requests
    def foo(self, docs: DocList[MyDoc], **kwargs) -> DocList[MyDoc]:
        for doc in docs:
            print(f'{doc.tags}')
f = (
    Flow()
    .add(uses=MyExec, name='first')
    .add(uses=MyExec, when={'tags__key': {'$eq': 5}}, needs='first', name='exec1')
    .add(uses=MyExec, when={'tags__key': {'$eq': 4}}, needs='first', name='exec2')
    .needs_all(uses=MyExec, name='join')
)
with f:
    ret = f.post(on='/search', inputs=DocList[MyDoc]([MyDoc(tags={'key': 5}), MyDoc(tags={'key': 4})]), return_type=DocList[MyDoc])
print('result', [doc.tags['key'] for doc in ret])
f = Flow().add(uses=MyExec).add(uses=MyExec, when={'tags__key': {'$eq': 5}})
with f:
    ret = f.post(on='/search', inputs=DocList[MyDoc]([MyDoc(tags={'key': 5}), MyDoc(tags={'key': 4})]), return_type=DocList[MyDoc])
print('filtered', [doc.tags['key'] for doc in ret])
"""
)

FLOATING = (
    PREAMBLE
    + """
import time
class FastChangingExecutor(Executor):
    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for doc in docs:
            doc.text = 'Hello World'
class SlowChangingExecutor(Executor):
    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        time.sleep(1)
        print('floating got', docs.text, flush=True)
        for doc in docs:
            doc.text = 'Change the document but will not affect response'
f = (
    Flow()
    .add(name='executor0', uses=FastChangingExecutor)
    .add(name='floating_executor', uses=SlowChangingExecutor, needs=['gateway'], floating=True)
)
with f:
    f.post('/', TextDoc(text='warm'), return_type=DocList[TextDoc])
    begin = time.time()
    response = f.post('/endpoint', DocList[TextDoc]([TextDoc(), TextDoc()]), return_type=DocList[TextDoc])
    print('fast', time.time() - begin < 0.5, response.text)
"""
)

REPLICAS_FROM_YAML = (
    PREAMBLE
    + """
open('executor.py', 'w').write('''
from jina import Executor, requests
from docarray import DocList
from docarray.documents import TextDoc
class FooExec(Executor):
    @requests
    async def add_text(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for d in docs:
            d.text += 'hello, world!'
class BarExec(Executor):
    @requests
    async def add_text(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for d in docs:
            d.text += 'goodbye!'
''')
open('flow.yml', 'w').write('''
jtype: Flow
with:
  port: PORT
executors:
- uses: FooExec
  replicas: 3
  py_modules: executor.py
- uses: BarExec
  replicas: 2
  py_modules: executor.py
''')
with Flow.load_config('flow.yml') as f:
    c = Client(port=PORT)
    r = c.post(on='/', inputs=DocList[TextDoc]([TextDoc(text='')]), return_type=DocList[TextDoc])
    print([d.text for d in r], f.num_pods)
"""
)

READINESS = (
    PREAMBLE
    + """
dep = Deployment()
with dep:
    print(dep.is_deployment_ready())
print(dep.is_deployment_ready())
f = Flow().add()
with f:
    print(f.is_flow_ready())
print(f.is_flow_ready())
"""
)

REPLICA_MATRIX = (
    PREAMBLE
    + """
class MyExec(Executor):
    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        docs[0].text = 'executed MyExec'

with Deployment(uses=MyExec, port=PORT, replicas=2) as dep:
    docs = dep.post(on='/foo', inputs=DocList[TextDoc]([TextDoc()]), return_type=DocList[TextDoc])
    print(docs.text)
"""
)

ENDPOINTS = (
    PREAMBLE
    + """
import asyncio
class RequestExecutor(Executor):
    @requests(on=['/index', '/search'])
    def foo(self, **kwargs):
        print('Calling foo')
    @requests(on='/other')
    async def bar(self, **kwargs):
        await asyncio.sleep(0.1)
        print('Calling bar')
    @requests(on='/status')
    def status(self, **kwargs):
        return {'internal_parameter': 20}
    def close(self):
        print('closing...')

dep = Deployment(uses=RequestExecutor)
with dep:
    dep.post(on='/index', inputs=[])
    dep.post(on='/other', inputs=[])
    dep.post(on='/search', inputs=[])
    print(dep.post(on='/status', return_responses=True)[0].to_dict()['parameters'])
"""
)

STREAMING = (
    PREAMBLE
    + """
import asyncio

class MyDocument(BaseDoc):
    text: str

class MyExecutor(Executor):
    @requests(on='/hello')
    async def task(self, doc: MyDocument, **kwargs) -> MyDocument:
        for i in range(3):
            yield MyDocument(text=f'{doc.text} {i}')

async def main(protocol, port):
    client = Client(port=port, cors=True, asyncio=True, protocol=protocol)
    async for doc in client.stream_doc(on='/hello', inputs=MyDocument(text='hello world'), return_type=MyDocument):
        print(protocol, doc.text)

for protocol in ('grpc', 'http'):
    with Deployment(uses=MyExecutor, port_expose=PORT, cors=True, protocol=protocol) as dep:
        asyncio.run(main(protocol, PORT))
"""
)

SIGNATURES = (
    PREAMBLE
    + """
from typing import Dict, Optional, TypeVar, Union
from pydantic import BaseModel

T_input = TypeVar('T_input', bound='BaseDoc')
T_output = TypeVar('T_output', bound='BaseDoc')

class One(Executor):
    @requests
    async def foo(self, doc: T_input, **kwargs) -> Union[T_output, Dict, None]:
        pass
class Many(Executor):
    @requests
    async def foo(self, docs: DocList[T_input], parameters: Union[Dict, BaseModel], **kwargs) -> Union[DocList[T_output], Dict, None]:
        pass
class Traced(Executor):
    @requests
    async def foo(self, tracing_context: Optional['Context'], **kwargs) -> Union[DocList[T_output], Dict, None]:
        print('context', tracing_context)

with Flow().add(uses=One).add(uses=Many).add(uses=Traced) as f:
    print(len(f.post('/', [BaseDoc(), BaseDoc()], parameters={'a': 1}, return_type=DocList[BaseDoc])), 'documents')
"""
)

DESCRIBED = (
    PREAMBLE
    + """
import json, urllib.request
from pydantic import BaseModel, Field

class Prompt(BaseDoc):
    '''Prompt Document to be input to a Language Model'''
    text: str = Field(description='The text of the prompt', example='Write me a short poem')
class Generation(BaseDoc):
    '''Document representing the generation of the Large Language Model'''
    prompt: str = Field(description='The original prompt that created this output')
    text: str = Field(description='The actual generated text')
class LLMCallingParams(BaseModel):
    '''Calling parameters of the LLM model'''
    num_max_tokens: int = Field(default=5000, description='The limit of tokens the model can take')
class MyLLMExecutor(Executor):
    @requests(on='/generate')
    def generate(self, doc: Prompt, parameters: LLMCallingParams, **kwargs) -> Generation:
        return Generation(prompt=doc.text, text=f'{parameters.num_max_tokens} tokens')

with Deployment(port=PORT, protocol='http', uses=MyLLMExecutor) as dep:
    described = json.load(urllib.request.urlopen('http://localhost:PORT/openapi.json'))['components']['schemas']
    print(described['Prompt']['properties']['text'])
    print(described['LLMCallingParams'])
    print(dep.post('/generate', Prompt(text='x'), return_type=Generation).text)
"""
)

MINIMAL_EXECUTOR = (
    PREAMBLE
    + """
class MyExecutor(Executor):
    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        for d in docs:
            d.text = 'hello world'
        return docs

with Deployment(uses=MyExecutor) as dep:
    response_docs = dep.post(on='/', inputs=DocList[TextDoc]([TextDoc(text='hello')]), return_type=DocList[TextDoc])
    print(f'Text: {response_docs[0].text}')
    client = Client(port=dep.port)
    print(client.post(on='/', inputs=TextDoc(), return_type=DocList[TextDoc], stream=False).text)
"""
)

CLIENT_IN_AN_EXECUTOR = (
    PREAMBLE
    + """
class DummyExecutor(Executor):
    c = Client(host='grpc://0.0.0.0:PORT', asyncio=True)

    @requests
    async def process(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        results = DocList[TextDoc]()
        async for answer in self.c.post('/', docs, return_type=DocList[TextDoc]):
            results.extend(answer)
        return results

with Deployment(port=PORT), Deployment(uses=DummyExecutor) as dep:
    print(dep.post('/', TextDoc(text='through two'), return_type=DocList[TextDoc]).text)
"""
)

CALLBACKS = (
    PREAMBLE
    + """
from pprint import pprint

class MyExec1(Executor):
    @requests
    def foo(self, **kwargs):
        raise NotImplementedError

with Flow().add() as f:
    c = Client(port=f.port)
    c.post(on='/', on_done=lambda x: pprint(x.header))
    c.post(on='/', on_done=lambda x: pprint(x.parameters))
    c.post(on='/', on_done=lambda x: print([route.executor for route in x.routes]))
    c.post(on='/', on_done=lambda x: pprint(x.docs))
with Flow().add(uses=MyExec1, quiet_error=True) as f:
    Client(port=f.port).post(on='/', on_error=lambda x: pprint(x.header.status))
"""
)

EXAMPLES = {
    'endpoints': (
        ENDPOINTS,
        [
            'Calling foo\nCalling bar\nCalling foo\n',
            "{'__results__': {'executor/rep-0': {'internal_parameter': 20.0}}}",
            'closing...',
        ],
    ),
    'streaming': (
        STREAMING,
        [f'{protocol} hello world {number}' for protocol in ('grpc', 'http') for number in range(3)],
    ),
    'signatures': (SIGNATURES, ['context None', '2 documents']),
    'descriptions': (
        DESCRIBED,
        ['Write me a short poem', 'The text of the prompt', 'The limit of tokens the model can take', '5000 tokens'],
    ),
    'minimal executor': (MINIMAL_EXECUTOR, ['Text: hello world', "['hello world']"]),
    'minimal deployment': (MINIMAL_DEPLOYMENT, ['<DocList (length=1)>', 'Response']),
    'minimal flow': (MINIMAL_FLOW, ['<DocList (length=1)>', 'Response']),
    'uses_with and uses_metas': (PARAMETERS, ['param1: 10 param2: 2 param3: 30 different_name']),
    'uses_requests': (BINDINGS, ['bar bar()\nfoo foo()\nall req all_req()\nfoo foo()']),
    'needs': (
        NEEDS,
        ["['foo was here and got 0 document', 'bar was here and got 1 document', 'baz was here and got 1 document']"],
    ),
    'no_reduce': (
        NO_REDUCE,
        [
            'MergeExec processing pairs of Documents "Exec1" and "Exec2"',
            'Resulting documents Document merging from "Exec1" and "Exec2"',
        ],
    ),
    'conditions': (CONDITIONS, ['result [5, 4]', 'filtered [5]']),
    'floating': (FLOATING, ["fast True ['Hello World', 'Hello World']", 'floating got [None, None]']),
    'replicas from YAML': (REPLICAS_FROM_YAML, ["['hello, world!goodbye!'] 6"]),
    'readiness': (READINESS, ['True\nFalse\n']),
    'replicas': (REPLICA_MATRIX, ["['executed MyExec']"]),
    'a client in an Executor': (CLIENT_IN_AN_EXECUTOR, ["['through two']"]),
    'what callbacks get': (
        CALLBACKS,
        [
            'exec_endpoint: "/"\ntarget_executor: ""\n',
            "{'__results__': {}}",
            "['gateway', 'executor0']",
            '<DocList (length=0)>',
            'code: ERROR\ndescription: "NotImplementedError()"\nexception {\n  name: "NotImplementedError"\n  stacks: "',
            'stacks: "NotImplementedError\\n"\n  executor: "MyExec1"\n}',
        ],
    ),
}


@pytest.mark.parametrize('name', EXAMPLES)
def test_example(name: str, tmp_path: Path) -> None:
    source, expected = EXAMPLES[name]
    script = tmp_path / 'app.py'
    script.write_text(source.replace('PORT', str(free_port())))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, 'JINA_LOG_LEVEL': 'WARNING'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for text in expected:
        assert text in done.stdout
