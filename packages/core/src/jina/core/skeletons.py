"""Documents that look alike, read by their skeleton: all bytes of a ``DocProto`` but the contents of its fields.

The documents of a request mostly differ in nothing else. Once the reader of their class has read one, its skeleton is
kept by the size of the message. For the next one of that size, one call takes the message apart at the same places, and
one comparison shows whether what lies between the contents is the same; then only contents are left to convert.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from jina.core.protobuf_bytes import UNUSUAL, entries

Convert = Callable[[bytes], Any]
"""Makes the value of a field from its content."""

Locate = Callable[[bytes, int, int], tuple[int, int, Convert]]
"""Takes the data, position and end of a node; returns the bounds of its content, and what makes the value from that."""

MOST_BYTES: Final = 1 << 15
"""In longer documents, contents are so long that a copy of them counts."""
_MOST: Final = 1024
_FREE: Final = 32
_HITS: Final = 8


class Skeleton(NamedTuple):
    """How to read documents of one size."""

    unpack: Callable[[bytes, int], tuple[Any, ...]]
    """Takes the data and where the message begins; returns in turns what must be equal, and a content."""
    bones: tuple[bytes, ...]
    """What must be equal."""
    fields: tuple[tuple[str, Convert, int], ...]
    """Name of each field, what converts it, and the place of its content."""


class Skeletons:
    """The skeletons of a document class.

    Args:
        locators: For each field, in the order of the class, what finds its content in a node.
    """

    __slots__ = ('_hits', '_learned', '_locators', 'by_size')

    def __init__(self, locators: dict[str, Locate]) -> None:
        self.by_size: dict[int, Skeleton] = {}
        """The last skeleton of each size."""
        self._locators = locators
        self._hits = 0
        self._learned = 0

    def count(self, hits: int) -> None:
        """Notes how many documents were read by their skeletons."""
        self._hits += hits

    def learn(self, data: bytes, position: int, stop: int) -> None:
        """Keeps the skeleton of a document that its class's reader has read, unless that costs more than it has saved."""
        if stop - position > MOST_BYTES or self._learned > _FREE + self._hits // _HITS:
            return
        self._learned += 1
        try:
            skeleton = self._dissect(data, position, stop)
        except ValueError:
            return  # not in the form of our own writer: there is a reader for those
        if len(self.by_size) >= _MOST:
            self.by_size.clear()
        self.by_size[stop - position] = skeleton

    def _dissect(self, data: bytes, position: int, stop: int) -> Skeleton:
        bones: list[bytes] = []
        found: dict[str, tuple[str, Convert, int]] = {}
        layout = '<'
        seen = position
        for name, start, end in entries(data, position, stop):
            if name not in self._locators or name in found:
                raise ValueError(UNUSUAL)
            first, last, convert = self._locators[name](data, start, end)
            layout += f'{first - seen}s{last - first}s'
            bones.append(data[seen:first])
            found[name] = (name, convert, 2 * len(found) + 1)
            seen = last
        if len(found) != len(self._locators):
            raise ValueError(UNUSUAL)
        bones.append(data[seen:stop])
        # Protobuf's own encoders write the entries of a map in any order; a document has its fields in that of the class.
        fields = tuple(found[name] for name in self._locators)
        return Skeleton(Struct(f'{layout}{stop - seen}s').unpack_from, tuple(bones), fields)
