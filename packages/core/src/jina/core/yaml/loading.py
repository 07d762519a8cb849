"""Reading of YAML documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jina.core.yaml.sources import Source, as_mapping, read_source, resolve_url
from jina.core.yaml.variables import substitute as substitute_variables


@dataclass(frozen=True)
class LoadedYaml:
    """A document and where it comes from.

    Args:
        data: The document, with variables replaced.
        path: Its file, None if it doesn't come from one.
        label: What messages call it: the path as it was given, the URL, ``<string>``, ``<stream>`` or ``<dict>``.
        url: Its URL, None if it doesn't come from one.
    """

    data: dict[str, Any]
    path: Path | None = None
    label: str = '<dict>'
    _text: str | None = field(default=None, repr=False)
    url: str | None = None

    @property
    def directory(self) -> Path | None:
        """Directory of the file, against which relative paths in it are resolved."""
        return self.path.parent if self.path else None

    def beside(self, path: str) -> str:
        """Returns where a YAML file lies that the document names: a relative path is one from its folder or its URL."""
        if self.url is not None:
            return resolve_url(self.url, path)
        return path if self.directory is None or os.path.isabs(path) else os.path.join(self.directory, path)

    def where(self, *path: str | int) -> str:
        """Describes the place of a value for a message, such as ``flow.yml:12: executors[1].replicas``.

        Args:
            path: Keys and indices of the value; a value that isn't there is placed at the innermost existing one.
        """
        line = None
        if self._text is not None:
            from jina.core.yaml.parsing import line_of  # noqa: PLC0415 - PyYAML, which importing us must not load

            line = line_of(self._text, path)
        place = f'{self.label}:{line}' if line else self.label
        dotted = ''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in path).lstrip('.')
        return f'{place}: {dotted}' if dotted else place


def locator(
    loaded: LoadedYaml, *sections: tuple[str | int, ...], aliases: Mapping[str, str] | None = None
) -> Callable[[str], str]:
    """Gives a function that tells the place of an option, for messages about it.

    Args:
        loaded: The document that the options stand in.
        sections: Paths of the mappings that may hold an option; one that is in none of them is placed in the last one.
        aliases: Names that an option may have in the document, and its own name.
    """

    def locate(name: str) -> str:
        for section in sections:
            found: Any = loaded.data
            for step in section:
                found = found.get(step) if isinstance(found, Mapping) else found[step]
            for key in found if isinstance(found, Mapping) else ():
                if name in (key, (aliases or {}).get(key)):
                    return loaded.where(*section, key)
        return loaded.where(*sections[-1], name)

    return locate


def load_yaml(
    source: Source,
    *,
    context: Mapping[str, Any] | None = None,
    substitute: bool = True,
    extra_search_paths: Iterable[str | os.PathLike[str]] = (),
) -> LoadedYaml:
    """Loads a document.

    ``!Class`` tags become ``jtype: Class``; ``on`` and ``off`` are strings. Variables are explained in
    `jina.core.yaml.variables`.

    Args:
        source: A path, an ``http(s)`` URL, a stream, YAML or JSON text, the name of a class, or a dict.
        context: Values for ``${{ CONTEXT.x }}`` and ``${{ x }}``.
        substitute: Whether to replace variables.
        extra_search_paths: Directories in which a relative path is searched, too.

    Returns:
        The document.

    Raises:
        ConfigSourceError: The source is empty or can't be found.
        ConfigError: The document isn't a valid mapping, or a variable is unknown. The message has file and line.
    """
    found = read_source(source, extra_search_paths)
    parsed: object = found.data
    if found.text is not None:
        from jina.core.yaml.parsing import parse  # noqa: PLC0415 - PyYAML, which importing us must not load

        parsed = parse(found.text, found.label)
    loaded = LoadedYaml(as_mapping(parsed, found.label), found.path, found.label, found.text, found.url)
    if not substitute:
        return loaded
    data = substitute_variables(loaded.data, context, lambda path: loaded.where(*path))
    return LoadedYaml(data, found.path, found.label, found.text, found.url)
