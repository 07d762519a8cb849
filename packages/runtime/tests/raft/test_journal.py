"""The log on disk: what is there after a crash, a cut, a snapshot, and damage."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core.errors import ConsensusError, RequestTypeError
from jina.runtime.raft.journal import Journal
from jina.runtime.raft.messages import Append, AppendReply, Entry, EntryKind, Install, Resign, Vote, VoteReply

from .cluster import MemoryLog


def entry(number: int, term: int = 1, size: int = 10) -> Entry:
    return Entry(term, EntryKind.COMMAND, (f'{number}-' * size).encode()[:size])


def entries(journal: Journal) -> list[Entry]:
    return journal.read(journal.first, 10_000, 1 << 30)


def sync(journal: Journal) -> None:
    work = journal.begin_sync()
    work.run()
    journal.end_sync(work)


def file_of(folder: Path) -> Path:
    return sorted(folder.glob('log-*'))[-1]


def test_entries_are_there_again(tmp_path: Path) -> None:
    written = [entry(number, term=1 + number // 10, size=number * 50) for number in range(40)]
    journal = Journal(tmp_path, file_bytes=4000)
    for one in written:
        journal.append([one])
    journal.vote(7, 2)
    sync(journal)
    assert journal.is_synced
    journal.close()
    assert len(list(tmp_path.glob('log-*'))) > 3
    again = Journal(tmp_path, file_bytes=4000)
    assert entries(again) == written
    assert (again.term, again.voted_for, again.last, again.synced) == (7, 2, 40, 40)
    assert again.term_of(11) == 2
    again.close()


def test_reads_have_limits_and_give_one_entry_at_least(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(number, size=100) for number in range(10)])
    assert len(journal.read(1, 3, 10_000)) == 3
    assert len(journal.read(1, 10, 250)) == 2
    assert len(journal.read(9, 10, 1)) == 1
    journal.close()


@pytest.mark.parametrize('seed', range(20))
def test_a_crash_loses_nothing_that_was_synced(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    journal = Journal(tmp_path, file_bytes=3000)
    written: list[Entry] = []
    for number in range(chance.randrange(1, 60)):
        written.append(entry(number, size=chance.randrange(200)))
        journal.append([written[-1]])
    sync(journal)
    file, safe = file_of(tmp_path), file_of(tmp_path).stat().st_size
    journal.append([entry(100 + number, size=150) for number in range(5)])
    journal.close()
    data = bytearray(file.read_bytes())
    if chance.random() < 0.5:
        del data[chance.randrange(safe, len(data)) :]
    else:  # sectors that never came to the disk
        for start in range(-(-safe // 512) * 512, len(data), 512):
            if chance.random() < 0.7:
                data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)
    again = Journal(tmp_path, file_bytes=3000)
    found = entries(again)
    assert found[: len(written)] == written
    again.append([entry(200)])
    again.close()
    third = Journal(tmp_path, file_bytes=3000)
    assert entries(third) == [*found, entry(200)]
    third.close()


def test_damage_in_what_was_synced_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(number, size=100) for number in range(10)])
    journal.close()
    file = file_of(tmp_path)
    data = bytearray(file.read_bytes())
    data[300] ^= 1
    file.write_bytes(data)
    with pytest.raises(ConsensusError, match=r'log-0+1 is damaged; remove the folder'):
        Journal(tmp_path)


@pytest.mark.parametrize('name', ['vote', 'log-'])
def test_damage_of_a_vote_or_a_head_is_an_error(tmp_path: Path, name: str) -> None:
    journal = Journal(tmp_path)
    journal.vote(3, 1)
    journal.append([entry(1)])
    journal.close()
    (file,) = tmp_path.glob(f'{name}*')
    data = bytearray(file.read_bytes())
    data[6] ^= 1
    file.write_bytes(data)
    with pytest.raises(ConsensusError, match='is damaged'):
        Journal(tmp_path)


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=100)
    for number in range(5):
        journal.append([entry(number, size=100)])
    journal.close()
    first, second, *_ = sorted(tmp_path.glob('log-*'))
    kept = second.read_bytes()
    second.unlink()
    with pytest.raises(ConsensusError, match='is damaged'):
        Journal(tmp_path)
    second.write_bytes(kept)
    first.unlink()
    with pytest.raises(ConsensusError, match=r'the entries 1 to 1 of the log .* are missing'):
        Journal(tmp_path)


def test_a_sync_does_not_count_for_what_was_cut_meanwhile(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(number) for number in range(5)])
    work = journal.begin_sync()
    journal.cut(3)
    journal.append([entry(9, term=2), entry(10, term=2)])
    work.run()
    journal.end_sync(work)
    assert journal.synced < 3
    sync(journal)
    assert journal.synced == 4
    journal.close()


def test_a_snapshot_makes_files_needless(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes=500)
    for number in range(1, 51):
        journal.append([entry(number, term=number, size=100)])
    journal.compact(40, 40, 10)
    assert 21 <= journal.first <= 31
    assert journal.term_of(journal.first - 1) == journal.first - 1
    assert journal.term_of(journal.first - 2) is None
    assert journal.read(41, 1, 1000) == [entry(41, term=41, size=100)]
    journal.compact(50, 50, 0)
    assert (journal.first, journal.last) == (51, 50)
    journal.close()
    again = Journal(tmp_path, snapshot_index=50, snapshot_term=50)
    assert (again.first, again.last, again.term_of(50)) == (51, 50, 50)
    again.append([entry(51)])
    assert again.last == 51
    again.close()


def test_a_snapshot_that_was_received_replaces_the_log(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(number) for number in range(5)])
    journal.restart(3, 1)  # the log has this entry, and goes on behind it
    assert journal.last == 5
    journal.restart(20, 4)
    assert (journal.first, journal.last, journal.synced, journal.term_of(20)) == (21, 20, 20, 4)
    journal.append([entry(21, term=4)])
    journal.close()
    again = Journal(tmp_path, snapshot_index=20, snapshot_term=4)
    assert entries(again) == [entry(21, term=4)]
    again.close()
    beyond = Journal(tmp_path, snapshot_index=30, snapshot_term=5)  # it ended before the log was replaced
    assert (beyond.first, beyond.last) == (31, 30)
    beyond.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just('append'), st.lists(st.integers(0, 300), min_size=1, max_size=5)),
        st.tuples(st.just('cut'), st.floats(0, 1)),
        st.tuples(st.just('compact'), st.floats(0, 1)),
        st.tuples(st.just('again'), st.none()),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None)
def test_it_does_what_a_list_does(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]) -> None:
    folder = tmp_path_factory.mktemp('log')
    journal, model = Journal(folder, file_bytes=600), MemoryLog()
    term = 1
    for what, value in steps:
        if what == 'append':
            assert isinstance(value, list)
            added = [entry(model.last + at, term=term, size=size) for at, size in enumerate(value)]
            journal.append(added)
            model.append(added)
        elif what == 'cut' and model.last > model.snapshot_index:
            assert isinstance(value, float)
            start = model.snapshot_index + 1 + int(value * (model.last - model.snapshot_index - 1))
            journal.cut(start)
            model.cut(start)
            term += 1
        elif what == 'compact' and model.last > model.snapshot_index:
            assert isinstance(value, float)
            index = model.snapshot_index + 1 + int(value * (model.last - model.snapshot_index - 1))
            at = model.term_of(index)
            assert at is not None
            model.compact(index, 0, ())
            journal.compact(index, at, 0)
        elif what == 'again':
            journal.close()
            journal = Journal(
                folder, file_bytes=600, snapshot_index=model.snapshot_index, snapshot_term=model.snapshot_term
            )
        assert journal.last == model.last
        start = max(model.first, journal.first)
        assert journal.first <= model.first
        assert list(journal.read(start, 10_000, 1 << 30)) == list(model.read(start, 10_000, 1 << 30))
    journal.close()


MESSAGES = [
    Append(3, 1, 2, 2, 1, (Entry(3, EntryKind.COMMAND, b'abc'), Entry(3, EntryKind.NOTHING))),
    AppendReply(3, True, 7),
    Vote(4, 2, 9, 3, True),
    VoteReply(4, False),
    Install(5, 0, 100, 4),
    Resign(6, 1),
]


@pytest.mark.parametrize('message', MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_are_the_same_after_the_way(message: Append) -> None:
    raw = message.to_bytes()
    assert type(message).from_bytes(raw) == message
    with pytest.raises(RequestTypeError, match='can not be read'):
        type(message).from_bytes(raw[:5])
    with pytest.raises(RequestTypeError, match=r'speaks version 2 of .*, this one version 1'):
        type(message).from_bytes(b'\2' + raw[1:])


def test_an_entry_that_is_cut_off_is_an_error() -> None:
    with pytest.raises(RequestTypeError, match='is cut off'):
        Append.from_bytes(Append(1, 1, 0, 0, 0, (entry(1),)).to_bytes()[:-1])
