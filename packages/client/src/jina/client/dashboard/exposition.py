"""Reads metrics as Prometheus does: the text format that processes serve."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

__all__ = ['Key', 'Sample', 'parse_samples']

Key: TypeAlias = 'tuple[str, tuple[tuple[str, str], ...]]'
"""Name and sorted labels of a series."""

_LINE: Final = re.compile(
    r'(?P<name>[A-Za-z_:][\w:]*)\s*(?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s+(?P<value>\S+)'
)
_LABEL: Final = re.compile(r'([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r'\\(.)')


@dataclass(frozen=True)
class Sample:
    """One value of one series."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    value: float = 0.0

    @property
    def key(self) -> Key:
        """What tells its series from others."""
        return self.name, tuple(sorted(self.labels.items()))


def parse_samples(text: str, prefix: str = '') -> list[Sample]:
    """Returns the samples of a scrape; comments, and lines that are none, are left out.

    Args:
        text: The answer of a process.
        prefix: Only names that begin with it are read.
    """
    samples = []
    for line in text.splitlines():
        if not line.startswith(prefix):
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        try:
            value = float(match['value'])
        except ValueError:
            continue
        labels = {name: _ESCAPE.sub(_unescaped, quoted) for name, quoted in _LABEL.findall(match['labels'] or '')}
        samples.append(Sample(match['name'], labels, value))
    return samples


def _unescaped(match: re.Match[str]) -> str:
    return '\n' if match[1] == 'n' else match[1]
