"""The answers to the latest writes, so that a write that comes again isn't done again."""

from __future__ import annotations

import base64
import json
import zlib
from collections import OrderedDict
from typing import Final, NamedTuple

WRITES: Final = 10_000
"""So many writes are known again."""
ANSWER_BYTES: Final = 16 << 20
"""So many bytes of their answers are kept, those of the latest, and that of the last one in any case."""


class WriteKey(NamedTuple):
    """What tells writes apart."""

    request_id: str
    checksum: int

    @classmethod
    def of(cls, request_id: str, payload: bytes) -> WriteKey:
        """Returns the key of a serialised request."""
        return cls(request_id, zlib.crc32(payload))


class WriteMemory:
    """The latest writes with their answers, oldest first. It holds the same writes on all replicas."""

    def __init__(self) -> None:
        self._answers: OrderedDict[WriteKey, bytes | None] = OrderedDict()
        self._kept: OrderedDict[WriteKey, int] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: WriteKey) -> bool:
        return key in self._answers

    def __len__(self) -> int:
        return len(self._answers)

    def answer(self, key: WriteKey) -> bytes | None:
        """The answer to a write that is known; None if it isn't kept any more."""
        return self._answers[key]

    def note(self, key: WriteKey, answer: bytes | None) -> None:
        """Adds the latest write."""
        self._answers[key] = answer
        if answer is not None:
            self._kept[key] = len(answer)
            self._bytes += len(answer)
        while len(self._kept) > 1 and self._bytes > ANSWER_BYTES:
            dropped, size = self._kept.popitem(last=False)
            self._answers[dropped] = None
            self._bytes -= size
        if len(self._answers) > WRITES:
            oldest, _ = self._answers.popitem(last=False)
            self._bytes -= self._kept.pop(oldest, 0)

    def dump(self) -> bytes:
        """All of it as bytes, for a snapshot."""
        rows = [
            (*key, None if answer is None else base64.b64encode(answer).decode())
            for key, answer in self._answers.items()
        ]
        return json.dumps(rows).encode()

    @classmethod
    def load(cls, dumped: bytes) -> WriteMemory:
        """Makes it of what ``dump`` gave."""
        memory = cls()
        for request_id, checksum, answer in json.loads(dumped):
            memory.note(WriteKey(request_id, checksum), None if answer is None else base64.b64decode(answer))
        return memory
