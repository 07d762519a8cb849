"""A real Prometheus server for tests."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.processes import free_port
from tests.support.requirements import require_program


@contextlib.contextmanager
def scraping(targets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Runs a Prometheus that scrapes twice a second; gives its URL.

    Args:
        targets: Each with its ``targets``, ``host:port``, and maybe ``labels``.
    """
    program = require_program('prometheus', package='prometheus')
    config = {
        'global': {'scrape_interval': '500ms', 'scrape_timeout': '500ms'},
        'scrape_configs': [{'job_name': 'jina', 'static_configs': list(targets)}],
    }
    port = free_port()
    with tempfile.TemporaryDirectory(prefix='prometheus-') as name:
        folder = Path(name)
        (folder / 'prometheus.yml').write_text(json.dumps(config))
        command = [
            program,
            f'--config.file={folder / "prometheus.yml"}',
            f'--storage.tsdb.path={folder / "data"}',
            f'--web.listen-address=127.0.0.1:{port}',
            '--log.level=error',
        ]
        process = subprocess.Popen(command, cwd=folder)
        url = f'http://127.0.0.1:{port}'
        try:
            deadline = time.monotonic() + 60
            while not _is_ready(url):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f'{url}/-/ready').status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def query(url: str, expression: str) -> list[Any]:
    """The result of a PromQL expression now.

    Args:
        url: Of the Prometheus.
        expression: The expression.
    """
    answer = json.loads(urllib.request.urlopen(f'{url}/api/v1/query?query={urllib.parse.quote(expression)}').read())
    assert answer['status'] == 'success', answer
    return list(answer['data']['result'])
