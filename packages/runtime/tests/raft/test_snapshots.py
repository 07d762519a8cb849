"""Snapshots on disk, and on their way to another replica."""

from __future__ import annotations

from pathlib import Path

import pytest
from jina.core.errors import ConsensusError, RequestTypeError
from jina.runtime.raft import snapshots
from jina.runtime.raft.snapshots import Receiver, Snapshots, pieces_of


def make(snapshots: Snapshots, index: int) -> None:
    draft = snapshots.draft('own')
    (draft / 'state').write_text(str(index))
    snapshots.keep(draft, index, 1)


def test_the_latest_one_stays(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    assert snapshots.latest.index == 0
    make(snapshots, 9)
    first = snapshots.latest
    snapshots.reading(first)
    make(snapshots, 10)
    snapshots.clean()
    assert first.folder.exists()  # it is being sent
    snapshots.read(first)
    assert not first.folder.exists()
    snapshots.draft('received')
    again = Snapshots(tmp_path)
    assert (again.latest.index, again.latest.term) == (10, 1)
    assert (again.latest.folder / 'state').read_text() == '10'
    assert [path.name for path in tmp_path.iterdir()] == [again.latest.folder.name]


def test_a_new_one_is_not_taken_for_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has sent the one before cleans up while the new one is being put on disk in a thread."""
    kept = Snapshots(tmp_path)
    make(kept, 9)
    first = kept.latest
    kept.reading(first)
    monkeypatch.setattr(snapshots, 'sync_folder', lambda _: kept.read(first))
    make(kept, 10)
    assert (kept.latest.folder / 'state').read_text() == '10'


def test_files_arrive_as_they_were(tmp_path: Path) -> None:
    source, target = tmp_path / 'source', tmp_path / 'target'
    (source / 'a' / 'b').mkdir(parents=True)
    target.mkdir()
    contents = {'one': b'', 'a/two': b'x' * 2_500_000, 'a/b/ä': bytes(range(256))}
    for name, data in contents.items():
        (source / name).write_bytes(data)
    receiver = Receiver(target)
    for piece in pieces_of(source):
        receiver.take(piece)
    receiver.close()
    assert {
        path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob('*') if path.is_file()
    } == contents


@pytest.mark.parametrize('name', [b'../out', b'/tmp/out', b'', b'a/../../out'])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: bytes) -> None:
    target = tmp_path / 'target'
    target.mkdir()
    with pytest.raises(RequestTypeError, match='in a snapshot is outside of it'):
        Receiver(target).take(len(name).to_bytes(2, 'little') + name + b'data')
    assert [path.name for path in tmp_path.rglob('*')] == ['target']


def test_what_is_no_piece_and_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(RequestTypeError, match='can not be read'):
        Receiver(tmp_path).take(b'x')
    (tmp_path / 'at-what').mkdir()
    with pytest.raises(ConsensusError, match='is no snapshot; remove it'):
        Snapshots(tmp_path)
