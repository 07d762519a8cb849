"""YAML that people read and edit: in the order in which it was made, on long lines, and without anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

__all__ = ['to_yaml']


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(documents: Sequence[Any]) -> str:
    """Returns the text of one file.

    Args:
        documents: Its documents.
    """
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)
