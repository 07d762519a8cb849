"""Collects every public docstring of the standard library that the running interpreter has."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import pkgutil
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

# Importing these has side effects (a browser opens, a text is printed, a window toolkit or a test suite loads).
SKIPPED = {'antigravity', 'this', 'idlelib', 'turtle', 'turtledemo', 'tkinter', 'test', 'lib2to3', 'ensurepip', 'pip'}


@dataclass(frozen=True)
class Entry:
    """One documented object.

    Attributes:
        name: Qualified name, for example ``"shutil.copytree"``.
        kind: ``"module"``, ``"class"`` or ``"function"``.
        text: Its docstring, indentation removed.
    """

    name: str
    kind: str
    text: str

    @property
    def first_line(self) -> str:
        """The first line of the docstring that says something in words."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        prose = [line for line in lines if not is_signature(line, self.name)]
        return (prose or lines)[0]


def is_signature(line: str, name: str) -> bool:
    """Whether a docstring's line only repeats the call, as in ``copy(src, dst) -> str``."""
    return line.startswith(name.rsplit('.', 1)[-1] + '(') or ('(' in line and '->' in line)


def module_names() -> Iterator[str]:
    """Names of the public standard-library modules, submodules included."""
    for name in sorted(sys.stdlib_module_names):
        if name.startswith('_') or name in SKIPPED:
            continue
        yield name
        with contextlib.suppress(Exception), quiet():
            module = importlib.import_module(name)
            for info in pkgutil.iter_modules(getattr(module, '__path__', []), name + '.'):
                leaf = info.name.rsplit('.', 1)[-1]
                if not leaf.startswith('_') and leaf not in ('tests', 'test', 'idle_test'):
                    yield info.name


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what old modules print or warn about when they are imported."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter('ignore')
        yield


def members(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """Public classes and functions that a module defines, and the public methods of those classes."""
    for name, value in sorted(vars(module).items()):
        if name.startswith('_') or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        if not (getattr(value, '__module__', None) or module.__name__).startswith(module.__name__.split('.')[0]):
            continue
        yield name, value
        if inspect.isclass(value):
            for method, function in sorted(vars(value).items()):
                if not method.startswith('_') and inspect.isroutine(function):
                    yield f'{name}.{method}', function


def collect() -> list[Entry]:
    """All documented public objects, each docstring once, in a stable order.

    Returns:
        Entries sorted by name; a text that several names share stands under the shortest of them.
    """
    found: dict[str, Entry] = {}
    for module_name in module_names():
        try:
            with quiet():
                module = importlib.import_module(module_name)
        except BaseException:  # noqa: BLE001  a module that can't be imported on this platform has nothing to index
            continue
        for name, value in [('', module), *members(module)]:
            with quiet():
                text = inspect.getdoc(value)
            if text and len(text.split()) >= 4:
                kind = 'module' if not name else 'class' if inspect.isclass(value) else 'function'
                entry = Entry(f'{module_name}.{name}' if name else module_name, kind, text)
                known = found.get(text)
                if known is None or len(entry.name) < len(known.name):
                    found[text] = entry
    return sorted(found.values(), key=lambda entry: entry.name)
