"""Logging configuration files: which handlers a logger has, with which level and format."""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.core.errors import ConfigError, ConfigSourceError
from jina.core.logging.built_in import BUILT_IN
from jina.core.logging.console import ConsoleHandler
from jina.core.logging.formatters import FORMATTERS, ProfileFormatter, TextFormatter
from jina.core.yaml.loading import load_yaml

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:
    _StreamHandler = logging.StreamHandler  # generic at run time only since Python 3.11

DEFAULT_FORMAT = '{name}@%(process)d[%(levelname).1s]: %(message)s'
"""Format of handlers whose configuration gives none; ``{name}`` is the logger's name."""

_KEYS = ('handlers', 'level', 'configs')
_COMMON_OPTIONS = ('format', 'formatter', 'datefmt', 'level')
_NAME_FIELD = re.compile(r'\{name(![rsa])?(:[^{}]*)?\}')
_SYSLOG_SOCKETS = ('/dev/log', '/var/run/syslog')


class StandardOutputHandler(_StreamHandler):
    """Writes to the standard stream that is current when a record is emitted.

    Args:
        stream: ``stdout`` or ``stderr``.
    """

    def __init__(self, stream: str = 'stdout') -> None:
        if stream not in ('stdout', 'stderr'):
            raise ValueError(f'stream is {stream!r}, not stdout or stderr')
        self._stream_name = stream
        super().__init__(getattr(sys, stream))

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record.

        Args:
            record: The record.
        """
        self.stream = getattr(sys, self._stream_name)
        if self.stream is not None:
            super().emit(record)


def file_handler(
    output: str | None = None,
    filename: str | None = None,
    mode: str = 'a',
    encoding: str | None = 'utf-8',
    delay: bool = True,
) -> logging.Handler:
    """Makes a handler that writes to a file; the file is created with the first record.

    Args:
        output: Path of the file, relative to the working directory.
        filename: Other name of ``output``.
        mode: ``a`` to append, ``w`` to start anew.
        encoding: Encoding of the text.
        delay: Whether to open the file with the first record only.
    """
    return logging.FileHandler(_one_path(output, filename), mode=mode, encoding=encoding, delay=delay)


def rotating_file_handler(
    output: str | None = None,
    filename: str | None = None,
    maxBytes: int = 0,
    backupCount: int = 0,
    encoding: str | None = 'utf-8',
    delay: bool = True,
) -> logging.Handler:
    """Makes a handler that starts a new file when the current one is full.

    Args:
        output: Path of the file, relative to the working directory.
        filename: Other name of ``output``.
        maxBytes: Size at which a new file is started, in bytes; 0 never starts one.
        backupCount: How many old files to keep.
        encoding: Encoding of the text.
        delay: Whether to open the file with the first record only.
    """
    from logging.handlers import RotatingFileHandler  # noqa: PLC0415 - brings sockets and pickle, seldom used

    return RotatingFileHandler(
        _one_path(output, filename), maxBytes=maxBytes, backupCount=backupCount, encoding=encoding, delay=delay
    )


def timed_rotating_file_handler(
    output: str | None = None,
    filename: str | None = None,
    when: str = 'h',
    interval: int = 1,
    backupCount: int = 0,
    encoding: str | None = 'utf-8',
    utc: bool = False,
) -> logging.Handler:
    """Makes a handler that starts a new file after some time.

    Args:
        output: Path of the file, relative to the working directory.
        filename: Other name of ``output``.
        when: Unit of ``interval``: ``S``, ``M``, ``H``, ``D``, ``W0`` to ``W6`` or ``midnight``.
        interval: How many units a file is used for.
        backupCount: How many old files to keep.
        encoding: Encoding of the text.
        utc: Whether times are UTC.
    """
    from logging.handlers import TimedRotatingFileHandler  # noqa: PLC0415 - as above

    return TimedRotatingFileHandler(
        _one_path(output, filename),
        when=when,
        interval=interval,
        backupCount=backupCount,
        encoding=encoding,
        delay=True,
        utc=utc,
    )


def syslog_handler(
    host: str | None = None, port: int = 514, address: str | None = None, facility: str = 'user', ident: str = ''
) -> logging.Handler:
    """Makes a handler that writes to the system log.

    Args:
        host: Address of a syslog server that receives UDP; None means this machine's own log.
        port: Its UDP port.
        address: Path of the log's socket.
        facility: Name of the syslog facility.
        ident: Text in front of each record.
    """
    from logging.handlers import SysLogHandler  # noqa: PLC0415 - as above

    path = address or next((path for path in _SYSLOG_SOCKETS if not host and os.path.exists(path)), None)
    codes = SysLogHandler.facility_names
    if facility not in codes:
        raise ValueError(f'facility is {facility!r}, not one of {", ".join(codes)}')
    handler = SysLogHandler(path or (host or 'localhost', port), facility=codes[facility])
    handler.ident = f'{ident}: ' if ident else ''
    handler.mapPriority = functools.partial(_syslog_priority, handler.priority_map)  # type: ignore[method-assign]
    return handler


def _syslog_priority(priorities: Mapping[str, str], level_name: str) -> str:
    return 'notice' if level_name == 'SUCCESS' else priorities.get(level_name, 'warning')


_HANDLERS: dict[str, Callable[..., logging.Handler]] = {
    'FileHandler': file_handler,
    'RichHandler': ConsoleHandler,
    'RotatingFileHandler': rotating_file_handler,
    'StreamHandler': StandardOutputHandler,
    'SysLogHandler': syslog_handler,
    'TimedRotatingFileHandler': timed_rotating_file_handler,
}


@dataclass(frozen=True)
class LogConfig:
    """A logging configuration.

    Args:
        source: Name or path that messages about it show.
        level: Name of the lowest level that is emitted.
        handlers: Names of the handlers.
        options: Options of each handler.
    """

    source: str
    level: str
    handlers: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]]

    def build_handlers(self, name: str) -> Iterator[logging.Handler]:
        """Yields the handlers of a logger.

        Args:
            name: The logger's name, for the ``{name}`` fields.

        Raises:
            ConfigError: A handler can't be made from its options.
        """
        for handler_name in self.handlers:
            yield self._build(handler_name, name)

    def _build(self, handler_name: str, name: str) -> logging.Handler:
        options = dict(self.options.get(handler_name, {}))
        common = {key: options.pop(key) for key in _COMMON_OPTIONS if key in options}
        for key in ('filename', 'output'):
            if key in options:
                options[key] = fill_name(str(options[key]), name)
        factory = _HANDLERS[handler_name]
        try:
            handler = factory(**options)
            if 'level' in common:
                handler.setLevel(common['level'])
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f'{self.source}: {handler_name} can not be set up: {error}') from error
        formatter = FORMATTERS.get(common.get('formatter', ''), TextFormatter)
        fallback = '%(message)s' if handler_name == 'RichHandler' else DEFAULT_FORMAT
        text = fill_name(common.get('format') or fallback, name.replace('%', '%%'))
        handler.setFormatter(formatter(text, common.get('datefmt')))
        if formatter is ProfileFormatter:
            handler.addFilter(ProfileFormatter.accepts)
        return handler


def fill_name(text: str, name: str) -> str:
    """Replaces ``{name}`` fields, which may have a format such as ``{name:>15}``; other braces stay.

    Args:
        text: A format string or a path.
        name: The logger's name.
    """
    return _NAME_FIELD.sub(lambda field: field.group().format(name=name), text)


def read_log_config(source: str | os.PathLike[str] | Mapping[str, Any]) -> LogConfig:
    """Reads a logging configuration.

    Args:
        source: Name of a built-in configuration in any case, path of a YAML file, or a dict of the same shape.

    Raises:
        ConfigError: It has an unknown key, handler, option, level or formatter.
        ConfigSourceError: There is neither a configuration nor a file of this name.
    """
    if isinstance(source, Mapping):
        return _validated(source, 'log_config')
    text = os.fspath(source)
    if text.lower() in BUILT_IN:
        return _built_in(text.lower())
    path = Path(text).expanduser()
    if not path.is_file():
        close = _nearest(text, BUILT_IN)
        raise ConfigSourceError(
            f'log_config {text!r} is neither a file nor a built-in configuration{close}',
            hint=f'built-in ones are {", ".join(BUILT_IN)}',
        )
    return _validated(load_yaml(path).data, str(path))


@functools.lru_cache
def _built_in(name: str) -> LogConfig:
    return _validated(BUILT_IN[name], name)


def _validated(data: Mapping[str, Any], source: str) -> LogConfig:
    _check_names(data, _KEYS, f'{source}: no such key')
    handlers = data.get('handlers') or ()
    handlers = (handlers,) if isinstance(handlers, str) else tuple(handlers)
    _check_names(handlers, _HANDLERS, f'{source}: handlers: no such handler')
    options = data.get('configs') or {}
    if not isinstance(options, Mapping):
        raise ConfigError(f'{source}: configs is {options!r}', hint='map the names of handlers to their options')
    _check_names(options, _HANDLERS, f'{source}: configs: no such handler')
    for handler, values in options.items():
        if not isinstance(values or {}, Mapping):
            raise ConfigError(f'{source}: configs.{handler} is {values!r}', hint='map names of options to values')
        known = (*_COMMON_OPTIONS, *inspect.signature(_HANDLERS[handler]).parameters)
        _check_names(values or {}, known, f'{source}: configs.{handler}: no such option')
        formatter = (values or {}).get('formatter')
        if formatter is not None:
            _check_names([formatter], FORMATTERS, f'{source}: configs.{handler}: no such formatter')
    level = str(data.get('level', 'INFO')).upper()
    check_level(level, source)
    return LogConfig(source, level, handlers, {name: values or {} for name, values in options.items()})


def check_level(level: str, source: str) -> None:
    """Checks the name of a level.

    Args:
        level: The name, in capitals.
        source: Where it comes from, for the message.

    Raises:
        ConfigError: There is no such level.
    """
    _check_names([level], ('DEBUG', 'INFO', 'SUCCESS', 'WARNING', 'ERROR', 'CRITICAL'), f'{source}: no such level')


def _check_names(names: Iterable[object], known: Iterable[str], problem: str) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise ConfigError(f'{problem}: {name!r}{_nearest(str(name), known)}', hint=f'use {", ".join(known)}')


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f' (did you mean {close[0]!r}?)' if close else ''


def _one_path(output: str | None, filename: str | None) -> str:
    path = output or filename
    if not path:
        raise ValueError("the path of the file is missing (option 'output')")
    path = os.path.expanduser(path)
    # The name of a process, which may be in the path, has a slash: executor0/rep-0.
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    return path
