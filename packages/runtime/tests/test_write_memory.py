from __future__ import annotations

import pytest
from jina.runtime import write_memory
from jina.runtime.write_memory import WriteKey, WriteMemory


def key(number: int) -> WriteKey:
    return WriteKey.of(f'r{number}', b'payload')


def test_a_write_is_known_by_its_id_and_content() -> None:
    memory = WriteMemory()
    memory.note(WriteKey.of('r', b'a'), b'answer')
    assert memory.answer(WriteKey.of('r', b'a')) == b'answer'
    assert WriteKey.of('r', b'b') not in memory
    assert WriteKey.of('s', b'a') not in memory


def test_the_oldest_writes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_memory, 'WRITES', 3)
    memory = WriteMemory()
    for number in range(5):
        memory.note(key(number), b'%d' % number)
    assert len(memory) == 3
    assert [key(number) in memory for number in range(5)] == [False, False, True, True, True]


def test_large_answers_are_dropped_and_their_writes_stay_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_memory, 'ANSWER_BYTES', 10)
    memory = WriteMemory()
    for number in range(4):
        memory.note(key(number), b'xxxx')
    assert [memory.answer(key(number)) for number in range(4)] == [None, None, b'xxxx', b'xxxx']
    memory.note(key(4), b'x' * 100)
    assert [memory.answer(key(number)) for number in range(5)] == [None, None, None, None, b'x' * 100]
    memory.note(key(5), b'xx')
    assert [memory.answer(key(number)) for number in (4, 5)] == [None, b'xx']


def test_forgotten_writes_take_their_answers_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_memory, 'WRITES', 2)
    monkeypatch.setattr(write_memory, 'ANSWER_BYTES', 10)
    memory = WriteMemory()
    for number in range(100):
        memory.note(key(number), b'xxxx')
    assert [memory.answer(key(number)) for number in (98, 99)] == [b'xxxx', b'xxxx']


def test_it_comes_back_from_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_memory, 'ANSWER_BYTES', 10)
    memory = WriteMemory()
    for number in range(4):
        memory.note(key(number), bytes([0, 255, number, 7]))
    again = WriteMemory.load(memory.dump())
    assert again.dump() == memory.dump()
    assert [again.answer(key(number)) for number in range(4)] == [memory.answer(key(number)) for number in range(4)]
    assert WriteMemory.load(WriteMemory().dump()).dump() == b'[]'
