"""A cache of facts about classes that doesn't keep the classes alive."""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

_Fact = TypeVar('_Fact')


class TypeCache(Generic[_Fact]):
    """Maps classes to facts; an entry goes when its class goes.

    Keys are identities, so that a look-up costs no hash of the class: docarray's tensor classes compute theirs in Python,
    and take others of the same shape for equal. The facts must not hold the class. Safe under threads: look-ups and
    changes are single operations of a dict, and a fact that two threads find out at the same time is stored twice.
    """

    def __init__(self) -> None:
        self.facts: dict[int, _Fact] = {}
        """The facts by ``id(class)``; read it directly where every nanosecond counts."""
        self._references: dict[int, weakref.ref[type]] = {}

    def __len__(self) -> int:
        return len(self.facts)

    def get(self, kind: type) -> _Fact | None:
        """Returns what is known about a class, or None."""
        return self.facts.get(id(kind))

    def put(self, kind: type, fact: _Fact) -> _Fact:
        """Stores a fact about a class, and returns it."""
        key = id(kind)
        cache = weakref.ref(self)

        def forget(reference: weakref.ref[type]) -> None:
            owner = cache()
            # A later entry for the same class has a reference of its own, which is responsible then.
            if owner is not None and owner._references.get(key) is reference:
                del owner._references[key]
                owner.facts.pop(key, None)

        self._references[key] = weakref.ref(kind, forget)
        self.facts[key] = fact
        return fact
