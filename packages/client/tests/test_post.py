"""``post`` over every protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from jina.client import Client
from jina.core.errors import CallbackError, ConfigError, InputError, RemoteError, SchemaError
from jina.core.request import Response
from pydantic import BaseModel

Texts = Callable[..., Any]


@pytest.fixture
def client(options: dict[str, Any]) -> Iterator[Any]:
    with Client(**options) as client:
        yield client


def test_docs_come_back_flat_and_typed(client: Any, server: Any, texts: Texts) -> None:
    docs = client.post('/echo', texts(*range(5)), request_size=2, return_type=DocList[TextDoc], results_in_order=True)
    assert docs.text == ['0', '1', '2', '3', '4']
    assert sorted(len(request.docs) for request in server.requests) == [1, 2, 2]
    assert len({request.request_id for request in server.requests}) == 3


def test_default_request_size_is_100(client: Any, server: Any, texts: Texts) -> None:
    client.post('/echo', texts(*range(101)))
    assert sorted(len(request.docs) for request in server.requests) == [1, 100]


def test_no_inputs_make_one_request(client: Any, server: Any) -> None:
    assert len(client.post('/echo')) == 0
    assert len(client.post('/echo', [])) == 0
    assert len(server.requests) == 2


def test_an_empty_generator_makes_no_request(client: Any, server: Any) -> None:
    assert len(client.post('/echo', iter(()))) == 0
    assert not server.requests


def test_a_single_document(client: Any) -> None:
    assert client.post('/echo', TextDoc(text='a'), return_type=TextDoc).text == 'a'


def test_header_and_parameters_reach_the_server(client: Any, server: Any) -> None:
    class Limits(BaseModel):
        top_k: int = 3

    client.post('/echo', parameters={'a': {'b': [1, 'x', None, True]}}, target_executor='enc*')
    client.post('/echo', parameters=Limits())
    client.post('/echo')
    assert server.requests[0].exec_endpoint == '/echo'
    assert server.requests[0].target_executor == 'enc*'
    assert server.requests[0].parameters == {'a': {'b': [1.0, 'x', None, True]}}
    assert server.requests[1].parameters == {'top_k': 3.0}
    assert server.requests[2].parameters == {'__results__': {}}


def test_return_responses(client: Any, texts: Texts) -> None:
    first, second = client.post(
        '/results',
        texts('a', 'b', 'c'),
        request_size=2,
        return_responses=True,
        results_in_order=True,
        return_type=TextDoc,
    )
    assert isinstance(first, Response)
    assert first.docs.text == ['a', 'b']
    assert second.parameters['__results__'] == {'exec/rep-0': {'docs': 1.0}}


def test_callbacks_take_the_results_in_the_calling_thread(client: Any, texts: Texts) -> None:
    seen: list[tuple[str, int]] = []

    def keep(response: Response) -> None:
        seen.append((response.docs.text[0], threading.get_ident()))

    result = client.post('/echo', texts(*range(4)), on_done=keep, request_size=1, return_type=DocList[TextDoc])
    assert result is None
    assert sorted(seen) == [(str(number), threading.get_ident()) for number in range(4)]


def test_a_callback_may_post(client: Any, texts: Texts) -> None:
    answers: list[str] = []

    def again(response: Response) -> None:
        answers.append(client.post('/echo', TextDoc(text='inner'), return_type=TextDoc).text)

    client.post('/echo', texts('a', 'b'), on_done=again, request_size=1)
    assert answers == ['inner', 'inner']


def test_a_generator_may_post(client: Any) -> None:
    def encoded() -> Iterator[TextDoc]:
        for word in 'abc':
            yield client.post('/echo', TextDoc(text=word), return_type=TextDoc)

    assert client.post('/echo', encoded, return_type=DocList[TextDoc]).text == ['a', 'b', 'c']


def test_an_error_of_an_executor_is_raised(client: Any, texts: Texts) -> None:
    with pytest.raises(RemoteError, match=r"ValueError\('boom'\)") as caught:
        client.post('/fail', texts('good', 'bad'), request_size=1)
    assert caught.value.name == 'ValueError'


def test_on_error_gets_it_instead(client: Any, texts: Texts) -> None:
    seen: list[str] = []
    docs = client.post(
        '/fail',
        texts('good', 'bad', 'fine'),
        request_size=1,
        on_error=lambda x: seen.append(x.header.status.description),
    )
    assert seen == ["ValueError('boom')"]
    assert len(docs) == 3


def test_continue_on_error_logs_and_goes_on(client: Any, texts: Texts) -> None:
    reports: list[str] = []
    client.report = reports.append
    responses = client.post(
        '/fail', texts('good', 'bad', 'fine'), request_size=1, continue_on_error=True, return_responses=True
    )
    assert sorted(response.is_error for response in responses) == [False, False, True]
    assert len(reports) == 1
    assert 'boom' in reports[0]


def test_an_error_in_a_callback(client: Any, texts: Texts) -> None:
    def explode(response: Response) -> None:
        raise KeyError('oh')

    with pytest.raises(CallbackError, match='explode'):
        client.post('/echo', texts('a', 'b'), on_done=explode, request_size=1)
    reports: list[str] = []
    client.report = reports.append
    client.post('/echo', texts('a', 'b'), on_done=explode, request_size=1, continue_on_error=True)
    assert len(reports) == 2


def test_an_error_in_a_list_ends_the_call_and_comes_again(client: Any) -> None:
    inputs: Any = [TextDoc(text=str(number)) for number in range(100)]
    inputs[90] = 'b'
    for _ in range(2):
        with pytest.raises(InputError, match=r'inputs\[90\] is of type str'):
            client.post('/echo', inputs, request_size=1)


@pytest.mark.parametrize('stream', [True, False])
def test_an_error_in_the_inputs_ends_the_call(client: Any, stream: bool) -> None:
    def broken() -> Iterator[Any]:
        yield TextDoc(text='a')
        yield 'b'

    with pytest.raises(InputError, match=r'inputs\[1\] is of type str'):
        client.post('/echo', broken, request_size=1, stream=stream)
    assert len(client.post('/echo')) == 0


def test_results_in_order(client: Any, texts: Texts) -> None:
    for stream in (True, False):
        docs = client.post(
            '/shuffle',
            texts(*range(12)),
            request_size=1,
            results_in_order=True,
            return_type=DocList[TextDoc],
            stream=stream,
        )
        assert docs.text == [str(number) for number in range(12)]


@pytest.mark.parametrize('stream', [True, False])
@pytest.mark.parametrize('in_order', [True, False])
def test_prefetch_limits_the_requests_in_flight(
    client: Any, server: Any, texts: Texts, stream: bool, in_order: bool
) -> None:
    client.post('/slow', texts(*range(20)), request_size=1, prefetch=3, stream=stream, results_in_order=in_order)
    assert server.most_in_flight == 3


def test_prefetch_of_the_client(options: dict[str, Any], server: Any, texts: Texts) -> None:
    with Client(**options, prefetch=2) as client:
        client.post('/slow', texts(*range(8)), request_size=1)
    assert server.most_in_flight == 2


def test_inputs_are_read_as_the_window_allows(client: Any, server: Any) -> None:
    taken = 0

    def count() -> Iterator[TextDoc]:
        nonlocal taken
        for number in range(40):
            assert taken - len(server.requests) <= 2 * 4
            taken += 1
            yield TextDoc(text=str(number))

    client.post('/slow', count, request_size=1, prefetch=4, parameters={'delay_s': 0.002})
    assert taken == 40


def test_a_wrong_return_type(client: Any) -> None:
    class Number(BaseDoc):
        number: int

    with pytest.raises(SchemaError, match=r"'/echo' does not fit return_type=DocList\[Number\]") as caught:
        client.post('/echo', TextDoc(text='a'), return_type=DocList[Number])
    assert "the document has no field 'number' of type int (it has " in str(caught.value)
    assert ', text' in str(caught.value) and 'pydantic' not in str(caught.value)
    with pytest.raises(SchemaError, match='return_type is'):
        client.post('/echo', return_type=list)


def test_a_remark_of_the_server_is_logged_once(client: Any, server: Any) -> None:
    if hasattr(server, 'paths'):
        pytest.skip('over HTTP an endpoint that is not there is an error')
    warnings: list[str] = []
    client.logger.warning = warnings.append
    server.note = "no Executor serves endpoint '/ecko'; did you mean '/echo'?"
    for _ in range(2):
        client.post('/ecko', TextDoc(text='a'))
    assert warnings == [server.note]


def test_unknown_keywords_are_refused(client: Any) -> None:
    with pytest.raises(ConfigError, match="did you mean 'metadata'"):
        client.post('/echo', metadat={})


def test_the_endpoint_must_be_text(client: Any) -> None:
    with pytest.raises(InputError, match='on is of type int'):
        client.post(3)


def test_metadata_reaches_the_server(client: Any, server: Any) -> None:
    client.post('/echo', metadata={'X-Token': 'abc'})
    client.post('/echo', headers=[('X-Token', 'def')])
    tokens = [metadata['x-token'] for metadata in server.metadata if 'x-token' in metadata]
    assert set(tokens) == {'abc', 'def'}


def test_the_named_endpoints(client: Any, server: Any, texts: Texts) -> None:
    if hasattr(server, 'paths'):
        server.paths = {'/index', '/search', '/update', '/delete'}
    for name in ('index', 'search', 'update', 'delete'):
        getattr(client, name)(texts('a'))
    assert [request.exec_endpoint for request in server.requests] == ['/index', '/search', '/update', '/delete']


def test_many_threads_share_a_client(client: Any, texts: Texts) -> None:
    results: dict[int, list[str]] = {}

    def work(number: int) -> None:
        results[number] = client.post('/echo', texts(number), return_type=DocList[TextDoc]).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [str(number)] for number in range(8)}


@pytest.mark.parametrize('attempts', [3, 2])
@pytest.mark.parametrize('stream', [True, False])
def test_retries(client: Any, server: Any, texts: Texts, stream: bool, attempts: int) -> None:
    server.outages = 2
    fast = {'initial_backoff': 0.01, 'max_backoff': 0.02}

    def post() -> Any:
        return client.post(
            '/echo',
            texts('a', 'b'),
            request_size=2,
            max_attempts=attempts,
            stream=stream,
            return_type=DocList[TextDoc],
            **fast,
        )

    if attempts == 3:
        assert post().text == ['a', 'b']
    else:
        with pytest.raises(ConnectionError, match='a short outage'):
            post()


def test_a_progress_bar(client: Any, texts: Texts, capsys: pytest.CaptureFixture[str]) -> None:
    client.post('/echo', texts(*range(3)), request_size=1, show_progress=True)
    assert '3/3' in capsys.readouterr().out
    client.show_progress = True
    client.post('/echo', iter(texts('a')))
    assert '/echo' in capsys.readouterr().out


def test_type_checkers_know_all_keywords_of_post() -> None:
    import inspect

    from jina.client.mixin import PostMixin
    from jina.client.options import PostExtras, PostKeywords, StreamKeywords

    for method, keywords in ((PostMixin.post, PostKeywords), (PostMixin.stream_doc, StreamKeywords)):
        taken = set(inspect.signature(method).parameters) - {'self', 'extras'} | set(PostExtras.__annotations__)
        apart = {'on', 'inputs', 'return_type', 'on_done', 'on_always', 'return_responses'} & taken
        assert set(keywords.__annotations__) == taken - apart
