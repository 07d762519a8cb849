"""``uvicorn_kwargs``: applied, or refused with the reason."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from docarray import DocList
from docarray.documents import TextDoc
from jina.core.config import DeploymentOptions, GatewayOptions
from jina.core.endpoints import requests
from jina.core.errors import ConfigError
from jina.core.executor import Executor
from jina.runtime.http import uvicorn_settings
from jina.runtime.process import PodServer, run


class Echo(Executor):
    @requests(on='/echo')
    def echo(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
        return docs


async def start(**options: Any) -> None:
    pod = PodServer(DeploymentOptions(**{'uses': Echo, 'protocol': 'http', 'host': '127.0.0.1', **options}))
    try:
        await pod.start()
    finally:
        await pod.stop(0)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'port': 3}, "uvicorn_kwargs: 'port' can not be set; use the options host and port"),
        ({'workers': 3}, "uvicorn_kwargs: 'workers' can not be set; use replicas for more processes"),
        (
            {'timeout_graceful_shutdown': 3},
            "'timeout_graceful_shutdown' can not be set; use the option timeout_graceful_shutdown",
        ),
        ({'htp': 'h11'}, "uvicorn has no setting 'htp'; did you mean 'http'?"),
        ({'ws_max_size': 10}, "'ws_max_size' is for a WebSocket server; add the protocol websocket, or remove it"),
        ({'loop': 'trio'}, "'loop' is 'trio'; use one of auto, asyncio, uvloop, none"),
        ({'h11_max_incomplete_event_size': 10}, "is for the parser h11; add http='h11', or remove it"),
        ({'http': 'nothing:Here'}, 'Uvicorn refuses them: .*; correct http'),
        ({'log_config': '/nowhere.json'}, 'Uvicorn refuses them: FileNotFoundError: .*; correct log_config'),
    ],
)
async def test_wrong_settings(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await start(uvicorn_kwargs=kwargs)


def test_every_setting_has_a_decision() -> None:
    """What a newer Uvicorn adds is applied by handing it on; this test makes somebody look whether that works."""
    handed_on = {
        *('loop', 'http', 'http2', 'log_config', 'log_level', 'access_log', 'use_colors', 'proxy_headers'),
        *(
            'server_header',
            'date_header',
            'forwarded_allow_ips',
            'root_path',
            'limit_concurrency',
            'backlog',
            'headers',
        ),
        *(
            'timeout_keep_alive',
            'timeout_notify',
            'callback_notify',
            'h11_max_incomplete_event_size',
            'reset_contextvars',
        ),
    }
    known = {
        name
        for name in inspect.signature(uvicorn.Config.__init__).parameters
        if not name.startswith(('ws_', 'ssl_')) and name != 'self'
    }
    assert known - uvicorn_settings._REFUSED.keys() <= handed_on


@pytest.mark.parametrize('kind', ['worker', 'gateway'])
@pytest.mark.parametrize('name', ['uvicorn_kwargs', 'expose_endpoints', 'no_crud_endpoints', 'no_debug_endpoints'])
async def test_options_of_a_server_that_is_not_there(kind: str, name: str) -> None:
    value: Any = {'uvicorn_kwargs': {'http': 'h11'}, 'expose_endpoints': {'/echo': {}}}.get(name, True)
    options: Any = (
        DeploymentOptions(uses=Echo, **{name: value}) if kind == 'worker' else GatewayOptions(**{name: value})
    )
    with pytest.raises(ConfigError, match=f"{name} is for HTTP.*, and the protocol is GRPC; add protocol='http'"):
        await PodServer(options).start()


async def test_headers_parser_and_root_path(sites: Any) -> None:
    site = await sites.deployment(
        Echo,
        uvicorn_kwargs={
            'http': 'h11',
            'loop': 'asyncio',
            'server_header': True,
            'date_header': False,
            'headers': [('x-mine', 'yes')],
            'root_path': '/sub',
            'h11_max_incomplete_event_size': 4096,
        },
    )
    answer = await site.get('/docs')
    assert (answer.headers['server'], answer.headers['x-mine'], 'date' in answer.headers) == ('uvicorn', 'yes', False)
    assert b"url: '/sub/openapi.json'" in answer.body
    assert (await site.get('/openapi.json')).json()['servers'] == [{'url': '/sub'}]
    assert (await site.post('/echo', {'data': []})).status == 200
    assert (await site.post('/eco', {'data': []})).json()['detail'] == "there is no route '/eco'; did you mean '/echo'?"
    assert (await site.request('PUT', '/echo')).headers['allow'] == 'POST'
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(b'GET / HTTP/1.1\r\nhost: x\r\nx-long: ' + b'x' * 5000)
    assert (await asyncio.wait_for(reader.read(), 15)).startswith(b'HTTP/1.1 400')  # of h11
    writer.close()


async def test_the_short_way_has_the_same_headers(sites: Any) -> None:
    site = await sites.deployment(Echo, uvicorn_kwargs={'server_header': True, 'headers': [('x-mine', 'yes')]})
    for path in ('/echo', '/echo?a=b'):
        answer = await site.post(path, {'data': []})
        assert (answer.status, answer.headers['server'], answer.headers['x-mine']) == (200, 'uvicorn', 'yes')


async def test_limits(sites: Any) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    class Slow(Executor):
        @requests(on='/slow')
        async def slow(self, docs: DocList[TextDoc], **kwargs: Any) -> DocList[TextDoc]:
            started.set()
            await finish.wait()
            return docs

    site = await sites.deployment(Slow, uvicorn_kwargs={'limit_concurrency': 2, 'timeout_keep_alive': 1})
    request = asyncio.ensure_future(site.post('/slow', {'data': []}))
    await asyncio.wait_for(started.wait(), 10)
    second = asyncio.ensure_future(site.post('/slow', {'data': []}))
    assert (await second).status == 503
    finish.set()
    assert (await request).status == 200
    reader, writer = await asyncio.open_connection('127.0.0.1', site.port)
    writer.write(b'GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    assert (await asyncio.wait_for(reader.read(), 15)).startswith(b'HTTP/1.1 200')  # then the server closes
    writer.close()


async def test_notifications(sites: Any) -> None:
    called = asyncio.Event()

    async def note() -> None:
        called.set()

    await sites.deployment(Echo, uvicorn_kwargs={'callback_notify': note, 'timeout_notify': 0})
    await asyncio.wait_for(called.wait(), 15)


async def test_addresses_of_clients_behind_a_proxy_are_logged(sites: Any, capfd: pytest.CaptureFixture[str]) -> None:
    site = await sites.deployment(
        Echo,
        uvicorn_kwargs={'access_log': True, 'proxy_headers': True, 'forwarded_allow_ips': '*', 'use_colors': False},
    )
    assert (await site.post('/echo', {'data': []}, headers={'x-forwarded-for': '203.0.113.9'})).status == 200
    assert '203.0.113.9:0 - "POST /echo HTTP/1.1" 200 OK' in capfd.readouterr().out


SCRIPT = """
import asyncio, sys
from jina.core.config import DeploymentOptions
from jina.runtime.process import serve
def ready(addresses):
    print(type(asyncio.get_running_loop()).__module__, flush=True)
    raise SystemExit(0)
serve(DeploymentOptions(protocol='http', host='127.0.0.1', uvicorn_kwargs={'loop': sys.argv[1]}), on_ready=ready)
"""


@pytest.mark.parametrize(('loop', 'module'), [('asyncio', 'asyncio.'), ('uvloop', 'uvloop'), ('auto', 'uvloop')])
def test_the_event_loop(loop: str, module: str, tmp_path: Path) -> None:
    if module == 'uvloop':
        pytest.importorskip('uvloop')
    script = tmp_path / 'serve.py'
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script, loop], capture_output=True, text=True, timeout=60)
    assert any(line.startswith(module) for line in done.stdout.splitlines()), done.stdout + done.stderr


def test_a_missing_event_loop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'uvloop', None)

    async def nothing() -> None: ...

    with pytest.raises(ImportError, match=r'uvloop.*pip install'):
        run(nothing(), loop='uvloop')
    assert run(asyncio.sleep(0, socket.AF_INET)) == socket.AF_INET
