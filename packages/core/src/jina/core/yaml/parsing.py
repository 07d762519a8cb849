"""Text to data: YAML (or JSON) with class tags, refusal of duplicate keys, and the line of each value."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from jina.core.errors import ConfigError

if TYPE_CHECKING:
    from yaml import SafeLoader as _BaseLoader
else:
    _BaseLoader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)

Path = Sequence[str | int]
"""Where a value lies in the data: keys and indices from the root."""

_BOOL_TAG = 'tag:yaml.org,2002:bool'
_MAP_TAG = 'tag:yaml.org,2002:map'
_MERGE_TAG = 'tag:yaml.org,2002:merge'
_VALUE_TAG = 'tag:yaml.org,2002:value'
_STR_TAG = 'tag:yaml.org,2002:str'


class _Loader(_BaseLoader):
    """Safe loader in which ``on`` and ``off`` are strings and ``!Class`` stands for ``jtype: Class``."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Replaces merge keys by what they stand for; own keys win, then those of the sources in their order.

        PyYAML's own way (6.0.4) takes the wrong one of two values if a key of one letter was merged twice.
        """
        own: dict[object, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[object, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == _MERGE_TAG:
                for source in _merge_sources(node, value):
                    self.flatten_mapping(source)
                    for pair in source.value:
                        merged.setdefault(_identity(pair[0]), pair)
            else:
                if key.tag == _VALUE_TAG:
                    key.tag = _STR_TAG
                own[_identity(key)] = (key, value)
        node.value = [pair for name, pair in merged.items() if name not in own] + list(own.values())


def _merge_sources(node: yaml.MappingNode, value: yaml.Node) -> list[yaml.MappingNode]:
    sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
    for source in sources:
        if not isinstance(source, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                'while constructing a mapping',
                node.start_mark,
                f'expected a mapping or list of mappings for merging, but found a {type(source).__name__}',
                source.start_mark,
            )
    return list(sources)


def _identity(key: yaml.Node) -> object:
    """What makes two keys the same one; other keys than scalars are never the same."""
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL_TAG]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _BOOL_TAG, re.compile(r'^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE)$'), list('yYnNtTfF')
)


def _construct_tagged(loader: _Loader, suffix: str, node: yaml.Node) -> dict[Any, Any]:
    if isinstance(node, yaml.MappingNode):
        data = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.ScalarNode) and node.value == '':
        data = {}
    else:
        raise yaml.constructor.ConstructorError(None, None, f'the tag !{suffix} needs a mapping', node.start_mark)
    if data.get('jtype', suffix) != suffix:
        raise yaml.constructor.ConstructorError(
            None, None, f'the tag !{suffix} contradicts jtype: {data["jtype"]}', node.start_mark
        )
    return {'jtype': suffix, **data}


_Loader.add_multi_constructor('!', _construct_tagged)


def parse(text: str, label: str) -> object:
    """Parses one YAML or JSON document.

    Args:
        text: The document.
        label: File name or similar, for messages.

    Raises:
        ConfigError: The text isn't valid YAML, has a duplicate key or a value that contains itself; the message has
            the line.
    """
    if text.lstrip().startswith('{'):
        try:
            return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, label))
        except json.JSONDecodeError:
            pass  # a YAML mapping in flow style starts like this, too
    loader = _open(text, label)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, label, set(), set())
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _translated(error, label) from None
    finally:
        loader.dispose()


def line_of(text: str, path: Path) -> int | None:
    """Returns the line of the value at ``path``, counted from 1.

    Args:
        text: The document, which `parse` accepts.
        path: Keys and indices. If the value isn't there, the line of the innermost existing one is returned.
    """
    loader = _open(text, '')
    try:
        node = loader.get_single_node()
    except yaml.YAMLError:
        return None
    finally:
        loader.dispose()
    if node is None:
        return None
    line = node.start_mark.line
    for part in path:
        found = _child(node, part)
        if found is None:
            break
        line, node = found
    return int(line) + 1


def _open(text: str, label: str) -> _Loader:
    try:
        return _Loader(text)
    except yaml.YAMLError as error:
        raise _translated(error, label) from None


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None


def _check(node: yaml.Node, label: str, done: set[int], active: set[int]) -> None:
    if id(node) in active:
        raise ConfigError(f'{label}:{node.start_mark.line + 1}: the value contains itself')
    if id(node) in done or isinstance(node, yaml.ScalarNode):
        return
    done.add(id(node))
    active.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[object, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = _identity(key)
            if name in lines and key.value != '<<':
                raise ConfigError(f'{label}:{line}: the key {key.value!r} stands on line {lines[name]} already')
            lines[name] = line
            _check(value, label, done, active)
    else:
        for value in node.value:
            _check(value, label, done, active)
    active.remove(id(node))


def _unique(pairs: list[tuple[str, Any]], label: str) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigError(f'{label}: the key {twice!r} stands twice in one object')
    return data


def _translated(error: yaml.YAMLError, label: str) -> ConfigError:
    mark = getattr(error, 'problem_mark', None) or getattr(error, 'context_mark', None)
    problem = getattr(error, 'problem', None) or str(error).replace('\n', ' ')
    context = getattr(error, 'context', None)
    place = f'{label}:{mark.line + 1}' if mark is not None else label
    return ConfigError(f'{place}: invalid YAML: {problem}' + (f' ({context})' if context else ''))
