"""From what a user passes to ``load_config`` to a text: path, URL, stream, literal YAML, class name or dict."""

from __future__ import annotations

import copy
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jina.core.errors import ConfigError, ConfigSourceError
from jina.core.remote_executor import RemoteExecutor

Source = str | os.PathLike[str] | IO[str] | IO[bytes] | Mapping[str, Any]
"""What can be loaded."""

CLASS_NAME = '<class name>'
"""What messages call a source that is the name of a class."""
_SUFFIXES = ('.yml', '.yaml', '.jaml', '.json')
_URL = re.compile(r'https?://', re.IGNORECASE)
_LITERAL = re.compile(r'!|jtype\b|\{|["\']?[\w-]+["\']?\s*:(\s|$)')
_CLASS_NAME = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*')
_URL_TIMEOUT_S = 10
_PACKAGE_DIRECTORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@dataclass(frozen=True)
class SourceText:
    """What a source holds.

    Args:
        label: What messages call it.
        text: Its text, None if it is ``data``.
        data: Its data, None if it is ``text``.
        path: The file it comes from.
        url: The URL it comes from.
    """

    label: str
    text: str | None = None
    data: Mapping[str, Any] | None = None
    path: Path | None = None
    url: str | None = None


def read_source(source: Source, extra_search_paths: Iterable[str | os.PathLike[str]] = ()) -> SourceText:
    """Reads a source.

    Args:
        source: A path (searched as `complete_path` says), an ``http(s)`` URL, a stream, YAML or JSON text, the name of
            a class or a dict.
        extra_search_paths: Directories in which a relative path is searched, too.

    Raises:
        ConfigSourceError: The source is empty, can't be found or read, or isn't any of these.
        NotSupportedError: It names a container image or an Executor of the hub.
    """
    if isinstance(source, Mapping):
        return SourceText('<dict>', data=copy.deepcopy(dict(source)))
    if isinstance(source, os.PathLike):
        return _read_file(os.fspath(source), extra_search_paths)
    if not isinstance(source, str):
        return _read_stream(source)
    stripped = source.strip()
    if not stripped:
        raise ConfigSourceError('the configuration is empty', hint='give a path, YAML text or a class name')
    if _URL.match(stripped):
        return _read_url(stripped)
    if '\n' in stripped or (_LITERAL.match(stripped) and not stripped.endswith(_SUFFIXES)):
        return SourceText('<string>', text=source)
    if stripped.endswith(_SUFFIXES) or os.path.isfile(stripped):
        return _read_file(stripped, extra_search_paths)
    if _CLASS_NAME.fullmatch(stripped):
        return SourceText(CLASS_NAME, data={'jtype': stripped})
    remote = RemoteExecutor.parse(stripped)
    if remote is not None:
        raise remote.refusal()
    raise ConfigSourceError(
        f'{source!r} is neither a YAML file, a URL, YAML text nor a class name',
        hint=f'paths end with {", ".join(_SUFFIXES)}',
    )


def complete_path(path: str | os.PathLike[str], extra_search_paths: Iterable[str | os.PathLike[str]] = ()) -> Path:
    """Finds a file.

    A relative path is searched in the working directory, then in ``extra_search_paths``, then in the directories of
    the scripts and modules that are being executed, then in the directories of ``PATH``.

    Args:
        path: The path; ``~`` stands for the home directory.
        extra_search_paths: More directories.

    Returns:
        The absolute path.

    Raises:
        ConfigSourceError: There is no such file.
    """
    wanted = Path(path).expanduser()
    extra = [Path(directory).expanduser() for directory in extra_search_paths]
    searched = [Path.cwd(), *extra]
    for directory in (*searched, *_caller_directories(), *_path_directories()):
        candidate = directory / wanted  # an absolute path stays itself
        if candidate.is_file():
            return candidate.resolve()
    directories = [wanted.parent] if wanted.is_absolute() else [directory / wanted.parent for directory in searched]
    names = {entry.name for directory in directories if directory.is_dir() for entry in directory.iterdir()}
    close = difflib.get_close_matches(wanted.name, names, 1)
    meant = f' (did you mean {close[0]!r}?)' if close else ''
    raise ConfigSourceError(
        f'can not find the file {os.fspath(path)!r}{meant}',
        hint='searched in ' + ', '.join(dict.fromkeys(str(directory) for directory in directories)),
    )


def _caller_directories() -> Iterator[Path]:
    seen = set()
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        directory = os.path.dirname(os.path.abspath(name))
        if not name.startswith('<') and directory not in seen and not directory.startswith(_PACKAGE_DIRECTORY):
            seen.add(directory)
            yield Path(directory)
        frame = frame.f_back  # type: ignore[assignment]


def _path_directories() -> Iterator[Path]:
    for directory in os.environ.get('PATH', '').split(os.pathsep):
        if directory:
            yield Path(directory)


def _read_file(name: str, extra_search_paths: Iterable[str | os.PathLike[str]]) -> SourceText:
    path = complete_path(name, extra_search_paths)
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigSourceError(f'can not read the file {str(path)!r}: {error}') from error
    return _not_empty(SourceText(name, text=text, path=path))


def _read_stream(stream: object) -> SourceText:
    if not hasattr(stream, 'read'):
        raise ConfigSourceError(
            f'can not load a configuration from {stream!r}', hint='give a path, YAML text, a stream, or a dict'
        )
    content = stream.read()
    name = getattr(stream, 'name', None)
    path = Path(name).resolve() if isinstance(name, str) and os.path.isfile(name) else None
    text = content.decode('utf-8') if isinstance(content, bytes) else str(content)
    return _not_empty(SourceText(str(name) if path else '<stream>', text=text, path=path))


def _read_url(url: str) -> SourceText:
    import urllib.request  # noqa: PLC0415 (pulls in the whole http client, which files don't need)

    try:
        with urllib.request.urlopen(url, timeout=_URL_TIMEOUT_S) as response:
            return _not_empty(SourceText(url, text=response.read().decode('utf-8'), url=url))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigSourceError(f'can not read the configuration {url!r}: {error}') from error


def _not_empty(source: SourceText) -> SourceText:
    if not (source.text or '').strip():
        raise ConfigSourceError(f'the configuration {source.label} is empty')
    return source


def as_mapping(data: object, label: str) -> dict[str, Any]:
    """Checks that a document is a mapping with text keys at the top.

    Args:
        data: The parsed document.
        label: What messages call it.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f'{label}: the document is {type(data).__name__} {data!r}', hint='it must be a mapping')
    odd = next((key for key in data if not isinstance(key, str)), None)
    if odd is not None:
        raise ConfigError(f'{label}: the key {odd!r} is not a string', hint='put it into quotes')
    return dict(data)


def resolve_url(base: str, path: str) -> str:
    """Returns where a YAML file lies that a document names.

    Args:
        base: URL of the document.
        path: What it says: a relative path is one from there; a URL, an absolute path, and what is no path stay as they are.
    """
    wanted = path.strip()
    is_path = wanted.endswith(_SUFFIXES) and '\n' not in wanted and not _LITERAL.match(wanted)
    if not is_path or '://' in wanted or os.path.isabs(os.path.expanduser(wanted)):
        return path
    from urllib.parse import urljoin  # noqa: PLC0415 (files don't need it)

    return urljoin(base, wanted)
