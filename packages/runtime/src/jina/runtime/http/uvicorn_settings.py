"""``uvicorn_kwargs``: which settings of Uvicorn are applied, and why the others are refused."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import uvicorn
from jina.core.config import PodOptions, default_of
from jina.core.environment import log_level
from jina.core.errors import ConfigError
from jina.runtime.http.application import Application
from jina.runtime.http.direct import DirectProtocol, DirectRoutes
from jina.runtime.http.given import GivenApplication
from jina.runtime.ports import BACKLOG
from uvicorn.config import LOGGING_CONFIG

_ADDRESS: Final = 'use the options host and port'
_PROCESSES: Final = 'use replicas for more processes'
_RELOAD: Final = 'use reload=True of the Deployment or Flow'
_TLS: Final = 'use the options ssl_certfile and ssl_keyfile'
_APPLICATION: Final = 'the application is that of the server'
_ENDS: Final = 'a server that ends by itself would leave its process without one'
_REFUSED: Final = {
    'app': _APPLICATION,
    'factory': _APPLICATION,
    'interface': _APPLICATION,
    'lifespan': 'the server starts and ends with its process; use __init__ and close of the Executor',
    'host': _ADDRESS,
    'port': _ADDRESS,
    'fd': _ADDRESS,
    'uds': _ADDRESS,
    'workers': _PROCESSES,
    'timeout_worker_healthcheck': _PROCESSES,
    'reload': _RELOAD,
    'reload_dirs': _RELOAD,
    'reload_delay': _RELOAD,
    'reload_includes': _RELOAD,
    'reload_excludes': _RELOAD,
    'env_file': 'use the option env',
    'ssl_certfile': _TLS,
    'ssl_keyfile': _TLS,
    'limit_max_requests': _ENDS,
    'limit_max_requests_jitter': _ENDS,
    'timeout_graceful_shutdown': 'use the option timeout_graceful_shutdown (in milliseconds), which is for all protocols alike',
    'ws': 'WebSocket has a server of its own, with the protocol websocket',
}
_LOOPS: Final = ('auto', 'asyncio', 'uvloop', 'none')


def uvicorn_config(
    application: Application | GivenApplication,
    routes: DirectRoutes,
    kwargs: Mapping[str, Any],
    options: PodOptions,
    *,
    takes_websocket_settings: bool = False,
) -> uvicorn.Config:
    """Returns a loaded configuration.

    Args:
        application: What is served.
        routes: Requests that take the short way.
        kwargs: What a user wants of Uvicorn.
        options: Those of TLS and the limits of requests are used.
        takes_websocket_settings: A WebSocket server of the same process takes the settings that begin with ``ws_``.

    Raises:
        ConfigError: Uvicorn doesn't know a setting or its value, or it can't be applied here.
    """
    wanted = _checked(kwargs, takes_websocket_settings=takes_websocket_settings)
    level = logging.getLevelName(log_level() or 'ERROR')
    settings: dict[str, Any] = {
        'log_config': None,
        'log_level': level if isinstance(level, int) else logging.ERROR,
        'access_log': False,
        'lifespan': 'off',
        'ws': 'none',
        'proxy_headers': False,
        'server_header': False,
        'backlog': BACKLOG,
        'ssl_certfile': options.ssl_certfile,
        'ssl_keyfile': options.ssl_keyfile,
        **application.settings,
    }
    if wanted.get('access_log') and 'log_config' not in wanted:
        settings['log_config'] = LOGGING_CONFIG  # there is no other place where lines of this log would appear
        settings['log_level'] = logging.INFO
    settings.update(wanted)
    if settings.get('http', 'auto') in ('auto', 'httptools'):
        settings['http'] = partial(DirectProtocol, routes)
    elif settings['http'] == 'h11':
        from jina.runtime.http.h11_bounds import BoundedH11Protocol  # noqa: PLC0415 - few choose this parser

        settings['http'] = partial(BoundedH11Protocol, routes.bounds, routes.served)
        settings.setdefault('h11_max_incomplete_event_size', options.max_header_bytes)
    else:
        _check_limits(settings['http'], options)
    try:
        config = uvicorn.Config(application, **settings)
        config.load()
    except (Exception, SystemExit) as error:
        named = ', '.join(sorted(wanted)) or 'nothing'
        raise ConfigError(
            f'uvicorn_kwargs: Uvicorn refuses them: {type(error).__name__}: {error}', hint=f'correct {named}'
        ) from error
    return config


def _check_limits(parser: Any, options: PodOptions) -> None:
    """Refuses limits that a parser of the user doesn't have."""
    names = ('max_request_bytes', 'max_header_bytes', 'timeout_headers', 'timeout_body')
    wanted = [name for name in names if getattr(options, name) != default_of(type(options), name)]
    if wanted:
        raise ConfigError(
            f'uvicorn_kwargs: http is {parser!r}, for which {" and ".join(wanted)} means nothing',
            hint='leave out one of them',
        )


def _checked(kwargs: Mapping[str, Any], *, takes_websocket_settings: bool) -> dict[str, Any]:
    known = inspect.signature(uvicorn.Config.__init__).parameters
    wanted: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in _REFUSED:
            raise ConfigError(f'uvicorn_kwargs: {name!r} can not be set', hint=_REFUSED[name])
        if name.startswith('ws_'):
            if not takes_websocket_settings:
                raise ConfigError(
                    f'uvicorn_kwargs: {name!r} is for a WebSocket server',
                    hint='add the protocol websocket, or remove it',
                )
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                f'uvicorn_kwargs: uvicorn has no setting {name!r}', hint=f'did you mean {near[0]!r}?' if near else ''
            )
        wanted[name] = value
    if wanted.get('h11_max_incomplete_event_size') is not None and wanted.get('http') != 'h11':
        raise ConfigError(
            "uvicorn_kwargs: 'h11_max_incomplete_event_size' is for the parser h11", hint="add http='h11', or remove it"
        )
    event_loop(wanted)
    wanted.pop('loop', None)  # the loop runs already: see jina.runtime.process
    return wanted


def event_loop(kwargs: Mapping[str, Any]) -> str:
    """Returns which event loop the settings ask for.

    Raises:
        ConfigError: There is no such one.
    """
    wanted = kwargs.get('loop', 'auto')
    if wanted not in _LOOPS:
        raise ConfigError(f"uvicorn_kwargs: 'loop' is {wanted!r}", hint=f'use one of {", ".join(_LOOPS)}')
    return str(wanted)
