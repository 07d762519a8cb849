"""Wrong arguments of calls are told before anything is sent, whatever the protocol."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from docarray import BaseDoc
from docarray.documents import TextDoc
from jina.client import Client
from jina.core.errors import ConfigError, InputError


@pytest.fixture(params=['grpc', 'http', 'websocket'])
def unconnected(request: pytest.FixtureRequest) -> Any:
    """A client of a port at which nobody listens."""
    return Client(protocol=request.param, port=1)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'request_size': '10'}, "request_size is '10'; give a whole number"),
        ({'request_size': 2.5}, 'request_size is 2.5; give a whole number'),
        ({'request_size': True}, 'request_size is True; give a whole number'),
        ({'prefetch': -1}, 'prefetch is -1; give a whole number from 0 on'),
        ({'prefetch': '5'}, "prefetch is '5'; give a whole number from 0 on"),
        ({'max_attempts': '3'}, "max_attempts is '3'; give a whole number"),
        ({'max_attempts': 0}, 'max_attempts is 0; it counts the first attempt'),
        ({'max_backoff': float('nan')}, 'max_backoff is nan; give a positive number'),
        ({'backoff_multiplier': '2'}, "backoff_multiplier is '2'; give a positive number"),
        ({'timeout': '1'}, "timeout is '1'; give a positive number of seconds, or None"),
        ({'timeout': True}, 'timeout is True; give a positive number'),
        ({'metadata': 'abc'}, 'metadata is of type str; give a dict, or a list of pairs of texts'),
        ({'metadata': [('a',)]}, 'metadata is of type list; give a dict'),
        (
            {'metadata': {'a key!': 'b'}},
            "metadata has the key 'a key!'; keys have letters, digits, and the signs - _ .",
        ),
        ({'metadata': {':path': '/'}}, "metadata has the key ':path'"),
        ({'headers': {'Content-Length': 3}}, "headers has the key 'Content-Length'; leave it out"),
        ({'headers': {'k': None}}, r"headers\['k'\] is of type NoneType; values are texts of printable ASCII"),
        ({'headers': {'k': b'x'}}, r"headers\['k'\] is of type bytes; .* write others as base64"),
        ({'headers': {'k': 'a\r\nb: c'}}, r"headers\['k'\] is a text with other signs"),
        ({'headers': {'k': 'ü'}}, r"headers\['k'\] is a text with other signs"),
        ({'request_sise': 3}, r"post.request_sise: no such option; did you mean 'request_size'\?"),
        ({'on_dne': print}, r"post.on_dne: no such option; did you mean 'on_done'\?"),
        ({'compression': 'zip'}, "compression is 'zip'; use NoCompression, Deflate or Gzip"),
    ],
    ids=str,
)
def test_wrong_options(unconnected: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        unconnected.post('/', TextDoc(), **arguments)


def test_values_of_headers_are_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Client(port=1).post('/', headers={'authorization': 'Bearer secret\n'})
    assert 'secret' not in str(caught.value)


def test_wrong_endpoints_targets_and_documents(unconnected: Any) -> None:
    for method in (unconnected.post, unconnected.stream_doc):
        with pytest.raises(InputError, match="on is of type NoneType: None; give an endpoint, for example '/index'"):
            method(None, TextDoc())
        with pytest.raises(InputError, match='target_executor is of type int: 5; give a regular expression'):
            method('/', TextDoc(), target_executor=5)
    for inputs in (None, [TextDoc()], 'text', BaseDoc):
        with pytest.raises(InputError, match='stream_doc sends one document, for example'):
            unconnected.stream_doc('/', inputs)


def test_numbers_of_numpy_are_numbers(options: dict[str, Any], texts: Any) -> None:
    docs = Client(**options).post(
        '/echo', texts('a', 'b', 'c'), request_size=np.int64(2), prefetch=np.int32(1), timeout=np.float64(30)
    )
    assert len(docs) == 3


@pytest.mark.parametrize('protocol', ['http', 'websocket'])
def test_compression_that_does_nothing_is_remarked_once(protocol: str) -> None:
    remarks: list[str] = []
    client = Client(protocol=protocol, port=1)
    client.remark = remarks.append  # type: ignore[method-assign]
    for compression in ('Gzip', None, 'NoCompression'):
        with pytest.raises(ConnectionError):
            client.post('/', TextDoc(), compression=compression)
    assert remarks == [f'compression is for gRPC: a client for {protocol.upper()} sends everything as it is']


def test_options_of_grpc_are_remarked_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    Client(protocol='http', port=1, grpc_channel_options={'grpc.max_send_message_length': 1})
    assert 'grpc_channel_options are for gRPC: they mean nothing to a client for HTTP' in capsys.readouterr().out


def test_arguments_of_servers_that_clients_get_too(options: dict[str, Any]) -> None:
    assert Client(**options, cors=True).is_deployment_ready()


def test_a_client_travels_to_another_process(options: dict[str, Any], texts: Any) -> None:
    client = Client(**options, prefetch=7)
    client.show_progress = True
    assert len(client.post('/echo', texts('a'))) == 1  # it has a connection
    again = pickle.loads(pickle.dumps(client))
    assert type(again) is type(client)
    assert (again.address, again.prefetch, again.show_progress) == (client.address, 7, True)
    assert len(again.post('/echo', texts('a', 'b'))) == 2
