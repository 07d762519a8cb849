"""Data to text: the style of the YAML documents that we write."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Safe dumper without anchors, with indented lists and block style for texts of several lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    lines = text.split('\n')
    if not all(line.isprintable() for line in lines):
        style = '"'  # the plain styles would turn characters such as U+0085 into line breaks
    elif len(lines) > 2 and all(line == line.rstrip() for line in lines) and text[0] not in ' \n':
        style = '|'
    else:
        style = None
    return dumper.represent_scalar('tag:yaml.org,2002:str', text, style=style)


_Dumper.add_representer(str, _represent_text)


def emit(plain: Any) -> str:
    """Writes plain data (texts, numbers, dates, lists, dicts) as YAML; keys keep their order."""
    text: str = yaml.dump(
        plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )
    return text
