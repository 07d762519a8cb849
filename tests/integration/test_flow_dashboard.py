"""``Flow(dashboard=True)``: the page is served beside the Flow, and finds all figures by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trustme
from docarray import BaseDoc, DocList
from jina import Client, Deployment, Executor, Flow, requests
from jina.core.errors import ConfigError, PortInUseError

from tests.support.browser import browser
from tests.support.processes import free_port

pytestmark = pytest.mark.timeout(240)

JINA = Path(sys.executable).with_name('jina')


class Line(BaseDoc):
    text: str = ''


class Shouting(Executor):
    @requests(on='/shout')
    def shout(self, docs: DocList[Line], **kwargs: Any) -> DocList[Line]:
        for doc in docs:
            doc.text = doc.text.upper()
        return docs


def overview(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f'{url}api/overview', timeout=30) as answer:
        return dict(json.load(answer))


def with_figures(url: str, names: set[str]) -> dict[str, Any]:
    """The overview as soon as requests of all these nodes were seen."""
    deadline = time.monotonic() + 60
    while True:
        nodes = {node['name']: node for node in overview(url)['nodes']}
        if {name for name, node in nodes.items() if node['figures']['p95'] is not None} >= names:
            return nodes
        assert time.monotonic() < deadline, nodes
        time.sleep(0.1)


def test_the_page_finds_the_metrics_of_all_processes() -> None:
    flow = Flow(dashboard=True, quiet=True).add(uses=Shouting, name='one', replicas=2).add(uses=Shouting, name='two')
    assert flow.dashboard_url is None
    with flow, browser() as opened:
        url = flow.dashboard_url
        assert url is not None
        opened.open(url)
        processes = overview(url)['metrics']  # figures count from the first scrape on
        assert sorted(process['name'] for process in processes) == [
            'gateway/rep-0',
            'one/rep-0',
            'one/rep-1',
            'two/rep-0',
        ]
        for _ in range(4):
            flow.post('/shout', DocList[Line]([Line(text='a')]), return_type=DocList[Line])
        nodes = with_figures(url, {'gateway', 'one', 'two'})
        assert sorted(process['name'] for process in nodes['one']['processes']) == ['one/rep-0', 'one/rep-1']
        assert overview(url)['notes'] == []
        opened.find('#ready.good')
        opened.find('#executors [data-node="one"]', text='under way')
        opened.find('#send').click()
        opened.find('#took', text='1 document')
    assert flow.dashboard_url is None
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_keys_and_encryption(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert('localhost')
    certificate, key = str(tmp_path / 'server.crt'), str(tmp_path / 'server.key')
    issued.private_key_pem.write_to_path(key)
    Path(certificate).write_bytes(b''.join(part.bytes() for part in issued.cert_chain_pems))
    flow = Flow(dashboard=True, quiet=True, api_key='secret-of-the-server', ssl_certfile=certificate, ssl_keyfile=key)
    with flow.add(uses=Shouting, name='one') as flow:
        flow.post('/shout', DocList[Line]([Line(text='a')]), return_type=DocList[Line])
        url = str(flow.dashboard_url)
        assert overview(url)['ready'], overview(url)['error']
        with urllib.request.urlopen(f'{url}api/endpoints', timeout=30) as answer:
            assert list(json.load(answer)) == ['/shout']


def test_yaml_and_command_line(tmp_path: Path) -> None:
    port, page = free_port(), free_port()
    (tmp_path / 'flow.yml').write_text(
        f'jtype: Flow\nwith: {{port: {port}, dashboard: true}}\nexecutors: [{{name: passing}}]\n'
    )
    command = [str(JINA), 'flow', '--uses', 'flow.yml', '--port-dashboard', str(page)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any(f'http://127.0.0.1:{page}/' in line for line in process.stdout)
        nodes = [node['name'] for node in overview(f'http://127.0.0.1:{page}/')['nodes']]
        assert nodes == ['gateway', 'passing']
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest


def test_what_can_not_have_a_page() -> None:
    with pytest.raises(ConfigError, match=r"over gRPC, and that speaks HTTP; add gRPC: protocol=\['grpc', 'http'\]"):
        Flow(dashboard=True, protocol='http').add().start()
    with pytest.raises(ConfigError, match=r'Flow.port_dashboard is 8260; add dashboard=True'):
        Flow(port_dashboard=8260)
    with Deployment(quiet=True) as other:
        flow = Flow(dashboard=True, port_dashboard=other.port, quiet=True).add()
        with pytest.raises(PortInUseError, match=f'port {other.port} is taken by another process'):
            flow.start()
        assert flow.num_pods == 0


def test_without_metrics_it_is_switched_off_on_purpose() -> None:
    with Flow(dashboard=True, monitoring=False, quiet=True).add(name='passing') as flow:
        (note,) = overview(str(flow.dashboard_url))['notes']
        assert 'monitoring=True' in note
        assert Client(port=flow.port).is_flow_ready(60)
