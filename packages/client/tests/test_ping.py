from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import pytest
from jina.client.commands import PING
from jina.client.ping import ping
from jina.core.config import PingOptions


class Lines:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.info = self.warning = self.error = self._keep
        self.lines: list[str] = []

    def _keep(self, line: str) -> None:
        self.lines.append(line)


def run(**options: Any) -> tuple[int, list[str]]:
    log = Lines()
    return ping(PingOptions(**options), log), log.lines  # type: ignore[arg-type]


@pytest.mark.parametrize('target', ['flow', 'deployment', 'executor', 'gateway'])
def test_a_ready_server(server: Any, options: dict[str, Any], target: str) -> None:
    code, lines = run(target=target, host=f'{options["protocol"]}://localhost:{server.port}')
    assert code == 0
    where = lines[0].removeprefix('ping ').removesuffix(' at 0 round...')
    assert where.endswith(f'://localhost:{server.port}')
    assert re.fullmatch(rf'ping {where} at 0 round takes \d+ seconds \(\d+\.\d\ds\)', lines[1])
    assert re.fullmatch(r'avg\. latency: \d+ ms', lines[2])
    assert lines[3:] == ['readiness check succeeded 1 times!!!']


def test_a_flow_whose_executor_is_gone(server: Any, options: dict[str, Any]) -> None:
    server.ready = False
    code, lines = run(target='flow', host=f'{options["protocol"]}://localhost:{server.port}')
    assert code == 1
    assert 'is not ready' in lines[1]


def test_attempts_are_counted(wire_server: Any) -> None:
    start = time.perf_counter()
    code, lines = run(target='executor', host='localhost:1', attempts=2, timeout=500)
    assert code == 1
    assert time.perf_counter() - start >= 1
    assert re.fullmatch('Error while getting response from grpc server: gRPC error: .* nothing listens .*', lines[1])
    assert [line for line in lines if 'Error' not in line and 'takes' not in line] == [
        'ping grpc://localhost:1 at 0 round...',
        'not responding, retry (1/2) in 1s',
        'ping grpc://localhost:1 at 1 round...',
        'not responding (2/2)',
        'message lost 100% (2/2)',
        'readiness check succeeded 0 times, less than 1',
    ]
    code, _ = run(target='executor', host=f'localhost:{wire_server.port}', min_successful_attempts=2)
    assert code == 1


def test_the_command_ends_with_the_status(wire_server: Any) -> None:
    script = 'import sys; from jina.core.cli.main import main; sys.exit(main(sys.argv[1:]))'
    for port, code in ((wire_server.port, 0), (1, 1)):
        done = subprocess.run(
            [sys.executable, '-c', script, 'ping', 'executor', f'grpc://localhost:{port}'],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr


def test_the_command_is_registered() -> None:
    assert PING.name == 'ping'
    assert PING.options is PingOptions
