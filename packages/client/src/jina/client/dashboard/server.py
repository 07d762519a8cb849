"""The HTTP server of the page: files, the overview as JSON, and calls for the playground."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

from jina.client.dashboard.backend import Backend, State
from jina.client.dashboard.overview import overview
from jina.client.dashboard.scraping import Process, processes_of
from jina.core.config import DashboardOptions
from jina.core.errors import JinaError, PortInUseError, StartupError

__all__ = ['Dashboard', 'serve']

_EVERY_S: Final = 1.0
_LARGEST_BODY: Final = 64 << 20
_MOST_SCRAPES: Final = 16
"""Processes that are asked at the same time."""
_FILES: Final = {
    '/': ('index.html', 'text/html; charset=utf-8'),
    '/app.css': ('app.css', 'text/css; charset=utf-8'),
    '/app.js': ('app.js', 'text/javascript; charset=utf-8'),
    '/graph.js': ('graph.js', 'text/javascript; charset=utf-8'),
    '/playground.js': ('playground.js', 'text/javascript; charset=utf-8'),
}
_HEADERS: Final = {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
}


class Dashboard:
    """A page about one server, served by threads of this process until it is closed. It can be a context manager.

    Args:
        options: The server, and where the page is served.
        api_key: A key for the server; without one that of ``JINA_API_KEY``.

    Attributes:
        url: Where the page is.

    Raises:
        ConfigError: An address is wrong.
        PortInUseError: Another process listens on the port.
        StartupError: The address to serve on isn't one of this machine.
    """

    def __init__(self, options: DashboardOptions, api_key: str | None = None) -> None:
        self.target = options.target
        self.backend = Backend(options, api_key)
        self._given = processes_of(options.metrics)
        self._told: dict[str, Process] = {}
        self._state = State('it was not asked yet')
        self._closing = threading.Event()
        self._looked = threading.Event()
        self._scraped = threading.Event()
        self._times = 0
        self._server = _listening(options, self)
        self.host = options.host
        shown = f'[{options.host}]' if ':' in options.host else options.host
        self.url = f'http://{shown}:{self._server.server_port}/'
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name='dashboard', daemon=True),
            threading.Thread(target=self._follow, name='dashboard-look', daemon=True),
            threading.Thread(target=self._scrape, name='dashboard-scrape', daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def overview(self) -> dict[str, Any]:
        """What the page shows now; the first time it waits until the server and its processes were asked."""
        self._scraped.wait()
        return {'target': self.target, 'asked': self._times, **overview(self._state, self.processes)}

    def endpoints(self) -> dict[str, Any]:
        """The endpoints for the playground."""
        return {
            name: {
                'input': found.input_schema,
                'parameters': found.parameters_schema,
                'streams': found.is_generator,
            }
            for name, found in self.backend.endpoints().items()
        }

    def close(self) -> None:
        """Stops to serve."""
        self._closing.set()
        self._looked.set()  # nobody waits for what does not come any more
        self._scraped.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()
        self.backend.close()

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def processes(self) -> list[Process]:
        """The processes that serve metrics: those that were given, else those that the server and its replicas told of."""
        return self._given or list(self._told.values())

    def _follow(self) -> None:
        while not self._closing.is_set():
            failing = [address for address, process in self._told.items() if process.name and process.error is not None]
            self._state = self.backend.look(failing)
            # those that are known keep what they have told so far
            self._told = {address: self._told.get(address) or Process(address) for address in self._state.metrics}
            self._times += 1
            self._looked.set()
            self._closing.wait(_EVERY_S)

    def _scrape(self) -> None:
        self._looked.wait()  # growth counts from the first scrape on, so that comes as soon as addresses are known
        with ThreadPoolExecutor(_MOST_SCRAPES) as pool:
            while not self._closing.is_set():
                list(pool.map(Process.scrape, self.processes))
                self._scraped.set()
                self._closing.wait(_EVERY_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    dashboard: Dashboard


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if not self._is_meant():
            return
        path = urlsplit(self.path).path
        if path in _FILES:
            name, kind = _FILES[path]
            self._send(HTTPStatus.OK, (files('jina.client.dashboard') / 'static' / name).read_bytes(), kind)
        elif path == '/api/overview':
            self._send_json(HTTPStatus.OK, self.server.dashboard.overview())
        elif path == '/api/endpoints':
            try:
                self._send_json(HTTPStatus.OK, self.server.dashboard.endpoints())
            except JinaError as error:
                self._send_json(HTTPStatus.BAD_GATEWAY, {'error': str(error)})
        else:
            self._send_json(HTTPStatus.NOT_FOUND, {'error': f'there is no {path}'})

    def do_POST(self) -> None:
        if not self._is_meant():
            return
        if urlsplit(self.path).path != '/api/call':
            self._send_json(HTTPStatus.NOT_FOUND, {'error': f'there is no {self.path}'})
            return
        try:
            length = int(self.headers.get('Content-Length', ''))
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST_BODY:
            self._send_json(HTTPStatus.BAD_REQUEST, {'error': 'the request has no length, or is too long'})
            return
        try:
            call = json.loads(self.rfile.read(length))
            lines = self.server.dashboard.backend.call(call['endpoint'], call.get('data'), call.get('parameters'))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {'error': f'the request is no call: {error!r}'})
            return
        self._answer(lines)

    def _answer(self, lines: Iterator[str]) -> None:
        """Sends documents as they come, one JSON object per line: ``{"doc": ...}``, at last ``{"error": ...}`` or ``{}``."""
        self._begin(HTTPStatus.OK, 'application/x-ndjson')
        with contextlib.suppress(ConnectionError):  # nobody reads any more: the stream is closed
            try:
                for line in lines:
                    self.wfile.write(b'{"doc": %b}\n' % line.encode())
                    self.wfile.flush()
            except JinaError as error:
                self.wfile.write(json.dumps({'error': str(error)}).encode() + b'\n')
            else:
                self.wfile.write(b'{}\n')
        close = getattr(lines, 'close', None)
        if close is not None:
            close()

    def _is_meant(self) -> bool:
        """Refuses what pages of other origins send, and what names of others that lead here are asked for."""
        host = self.headers.get('Host', '')
        origin = self.headers.get('Origin')
        if not _is_own_name(host, self.server.dashboard.host):
            reason = f'the page is not served as {host!r}'
        elif origin is not None and origin != f'http://{host}':
            reason = f'a page of {origin!r} may not ask this one'
        elif self.command == 'POST' and self.headers.get_content_type() != 'application/json':
            self._send_json(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {'error': 'calls are application/json'})
            return False
        else:
            return True
        self._send_json(HTTPStatus.FORBIDDEN, {'error': reason})
        return False

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), 'application/json')

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        with contextlib.suppress(ConnectionError):
            self._begin(status, kind, {'Content-Length': str(len(body))})
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {'Content-Type': kind, **_HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Logs nothing: a page asks every second."""


def serve(options: DashboardOptions, on_ready: Callable[[str], object]) -> None:
    """Serves the page until SIGINT or SIGTERM.

    Args:
        options: The server, and where the page is served.
        on_ready: Called with the URL of the page.

    Raises:
        ConfigError: An address is wrong.
        PortInUseError: Another process listens on the port.
    """
    stopped = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with Dashboard(options) as dashboard:
        on_ready(dashboard.url)
        stopped.wait()


def _listening(options: DashboardOptions, dashboard: Dashboard) -> _Server:
    try:
        server = (_Server6 if ':' in options.host else _Server)((options.host, options.port), _Handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(options.port, 'jina dashboard') from error
        raise StartupError(
            f'the dashboard can not be served on {options.host!r}: {error.strerror}',
            hint='give --host an address of this machine; the default is for this machine alone',
        ) from error
    server.dashboard = dashboard
    return server


def _is_own_name(host: str, served: str) -> bool:
    """Whether a page is asked for by number, as ``localhost``, or as it is served: names of others may lead here."""
    name = urlsplit(f'//{host}').hostname or ''
    if name in ('localhost', served.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
