from __future__ import annotations

import gc

from jina.core.weak_types import TypeCache


def test_an_entry_goes_with_its_class() -> None:
    cache: TypeCache[str] = TypeCache()
    assert cache.put(int, 'int') == 'int'
    for _ in range(3):
        kind = type('Kind', (), {})
        assert cache.get(kind) is None
        cache.put(kind, 'one')
        cache.put(kind, 'two')
        assert cache.get(kind) == 'two'
        assert len(cache) == 2
        del kind
        gc.collect()
        assert len(cache) == 1
    assert cache.get(int) == 'int'


def test_a_class_in_a_cycle_may_outlive_the_cache() -> None:
    cache: TypeCache[str] = TypeCache()
    kind = type('Kind', (), {})
    kind.me = kind  # type: ignore[attr-defined]
    cache.put(kind, 'fact')
    del cache, kind
    gc.collect()


def test_classes_that_call_themselves_equal_are_kept_apart() -> None:
    class Equal(type):
        def __eq__(cls, other: object) -> bool:
            return True

        def __hash__(cls) -> int:
            raise AssertionError

    one, two = Equal('One', (), {}), Equal('Two', (), {})
    cache: TypeCache[int] = TypeCache()
    cache.put(one, 1)
    cache.put(two, 2)
    assert (cache.get(one), cache.get(two)) == (1, 2)
