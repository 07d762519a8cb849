"""The protocol under loss, delay, duplication, partitions and crashes, with a clock of its own."""

from __future__ import annotations

import random

import pytest
from jina.runtime.raft.messages import Append, AppendReply, Entry, EntryKind, Vote, VoteReply
from jina.runtime.raft.node import Node, Role, Timing

from .cluster import Cluster, MemoryLog


def applied(cluster: Cluster) -> list[list[bytes]]:
    return [replica.applied for replica in cluster.replicas]


@pytest.mark.parametrize('size', [1, 2, 3, 5])
def test_a_leader_is_elected_and_commands_reach_everybody(size: int) -> None:
    cluster = Cluster(size, 1)
    cluster.run(5)
    assert cluster.leader() is not None
    commands = [f'{number}'.encode() for number in range(100)]
    for command in commands:
        assert cluster.propose(command)
        cluster.run(0.001)
    cluster.run(1)
    assert applied(cluster) == [commands] * size
    assert [data for data, _ in cluster.answered] == commands


def test_a_follower_learns_soon_what_is_committed() -> None:
    cluster = Cluster(3, 5)
    cluster.run(5)
    cluster.propose(b'one')
    cluster.run(0.15)
    assert applied(cluster) == [[b'one']] * 3


def test_the_next_leader_goes_on_and_the_old_one_catches_up() -> None:
    cluster = Cluster(3, 2)
    cluster.run(5)
    first = cluster.leader()
    assert first is not None
    assert cluster.propose(b'one')
    cluster.run(0.5)
    cluster.crash(first)
    cluster.run(5)
    second = cluster.leader()
    assert second is not None
    assert second != first
    assert cluster.propose(b'two')
    cluster.run(0.5)
    cluster.start(first)
    cluster.run(3)
    assert applied(cluster) == [[b'one', b'two']] * 3


def test_a_leader_that_leaves_hands_over_at_once() -> None:
    cluster = Cluster(3, 2)
    cluster.run(5)
    first = cluster.leader()
    assert first is not None
    node = cluster.replicas[first].node
    assert node is not None
    node.resign(cluster.now)
    cluster.run(0.2)
    assert cluster.leader() not in (None, first)


def test_without_a_majority_nothing_is_committed_and_the_leader_gives_up() -> None:
    cluster = Cluster(3, 3)
    cluster.run(5)
    leader = cluster.leader()
    assert leader is not None
    cluster.parts = [{leader}, {0, 1, 2} - {leader}]
    assert cluster.propose(b'lost', leader)
    cluster.run(1)
    old = cluster.replicas[leader].node
    assert old is not None
    assert not old.is_leader
    cluster.run(5)
    assert cluster.leader() not in (None, leader)
    assert cluster.propose(b'kept')
    cluster.run(1)
    cluster.parts = None
    cluster.run(3)
    assert applied(cluster) == [[b'kept']] * 3
    assert [data for data, _ in cluster.answered] == [b'kept']


def test_a_replica_that_was_away_does_not_disturb_the_leader() -> None:
    cluster = Cluster(3, 4)
    cluster.run(5)
    leader = cluster.leader()
    assert leader is not None
    away = (leader + 1) % 3
    term = cluster.replicas[leader].log.term
    cluster.parts = [{away}, {0, 1, 2} - {away}]
    cluster.run(30)
    cluster.parts = None
    cluster.run(5)
    assert cluster.leader() == leader
    assert cluster.replicas[leader].log.term == term


def test_snapshots_bring_a_replica_up_to_date() -> None:
    cluster = Cluster(3, 6, snapshot_every=20)
    cluster.run(5)
    leader = cluster.leader()
    assert leader is not None
    away = (leader + 1) % 3
    cluster.crash(away)
    for number in range(100):
        assert cluster.propose(f'{number}'.encode())
        cluster.run(0.01)
    cluster.start(away)
    cluster.run(5)
    assert applied(cluster) == [[f'{number}'.encode() for number in range(100)]] * 3
    assert cluster.replicas[away].log.snapshot_index > 0


@pytest.mark.parametrize('seed', range(60))
def test_whatever_happens_what_was_answered_stays_in_order_everywhere(seed: int) -> None:
    chance = random.Random(seed)
    size = chance.choice([3, 3, 5])
    cluster = Cluster(size, seed, loss=chance.choice([0.0, 0.05, 0.3]), snapshot_every=chance.choice([0, 10]))
    for number in range(120):
        cluster.run(chance.expovariate(1 / 0.1))
        trouble = chance.random()
        if trouble < 0.05:
            cluster.crash(chance.randrange(size))
        elif trouble < 0.08:
            members = set(range(size))
            part = set(chance.sample(range(size), chance.randrange(1, size)))
            cluster.parts = [part, members - part]
        elif trouble < 0.14:
            cluster.parts = None
        if chance.random() < 0.2:
            cluster.start(chance.randrange(size))
        for replica in cluster.replicas:  # also those that only believe to lead
            if replica.node is not None and replica.node.is_leader:
                cluster.propose(f'{number}-{replica.number}'.encode(), replica.number)
    cluster.parts, cluster.loss = None, 0.0
    for number in range(size):
        cluster.start(number)
    cluster.run(15)
    assert cluster.propose(b'last')
    cluster.run(5)
    first, *others = applied(cluster)
    assert all(other == first for other in others)
    assert first[-1] == b'last'
    assert len(set(first)) == len(first)
    answered = dict(cluster.answered)
    assert set(answered) <= set(first)
    latest = 0.0
    for data in first:  # who was proposed after another one was answered comes behind it
        assert answered.get(data, float('inf')) >= latest
        latest = max(latest, cluster.proposed[data])


def node_of(log: MemoryLog, **options: object) -> Node:
    return Node(0, 3, log, Timing(), lambda *_: None, random.Random(0), **options)  # type: ignore[arg-type]


def test_a_vote_is_given_once_a_term_and_only_to_who_has_as_much() -> None:
    log = MemoryLog()
    node = node_of(log)
    node.on_append(Append(1, 2, 0, 0, 0, (Entry(1, EntryKind.COMMAND, b'a'),)), 0.0)
    assert not node.on_vote(Vote(2, 1, 0, 0, False), 10.0).granted  # it lacks an entry
    assert log.term == 2
    assert node.on_vote(Vote(2, 1, 1, 1, False), 10.0).granted
    assert not node.on_vote(Vote(2, 2, 1, 1, False), 10.0).granted
    assert node.on_vote(Vote(2, 1, 1, 1, False), 10.0).granted  # asked again


def test_entries_that_contradict_a_leader_go() -> None:
    log = MemoryLog()
    node = node_of(log)
    old = tuple(Entry(1, EntryKind.COMMAND, bytes([number])) for number in range(5))
    assert node.on_append(Append(1, 1, 0, 0, 2, old), 0.0) == AppendReply(1, True, 5)
    assert node.committed == 2
    reply = node.on_append(Append(3, 2, 9, 3, 2), 0.0)
    assert (reply.accepted, reply.index) == (False, 6)
    new = (Entry(2, EntryKind.COMMAND, b'new'),)
    assert node.on_append(Append(3, 2, 3, 1, 2, new), 0.0).accepted
    assert [entry.data for entry in log.entries] == [b'\0', b'\1', b'\2', b'new']
    assert node.on_append(Append(3, 2, 0, 0, 2, old[:1]), 0.0).accepted  # a late one takes nothing away
    assert log.last == 4


def test_an_old_leader_is_told_of_the_term() -> None:
    log = MemoryLog()
    node = node_of(log)
    node.on_append(Append(5, 2, 0, 0, 0), 0.0)
    assert node.on_append(Append(4, 1, 0, 0, 0), 0.0) == AppendReply(5, False, 0)
    assert node.leader == 2
    assert node.role is Role.FOLLOWER


def leading(log: MemoryLog) -> Node:
    """A node that was just elected, with the vote of replica 1."""
    node = node_of(log)
    node.tick(10.0)
    node.on_vote_reply(1, Vote(log.term + 1, 0, log.last, 0, True), VoteReply(log.term + 1, True), 10.0)
    node.on_vote_reply(1, Vote(log.term, 0, log.last, 0, False), VoteReply(log.term, True), 10.0)
    assert node.is_leader
    return node


def reply_to(node: Node, number: int, index: int) -> None:
    sent = Append(node.log.term, 0, index - 1, 0, 0)
    node.on_append_reply(number, sent, AppendReply(node.log.term, True, index), 10.0)


def test_a_leader_counts_itself_when_the_entry_is_on_its_disk() -> None:
    log = MemoryLog()
    node = leading(log)
    assert node.propose(b'one', 10.0) == 2
    reply_to(node, 1, 2)
    assert node.committed == 0
    log.synced = 2
    node.on_synced(10.0)
    assert node.committed == 2


def test_entries_of_earlier_leaders_are_committed_with_one_of_ones_own() -> None:
    log = MemoryLog()
    log.term = 2
    log.append([Entry(2, EntryKind.COMMAND, b'old')])
    node = leading(log)
    log.synced = 2
    reply_to(node, 1, 1)  # figure 8 of the paper: a majority has it, and it may still go
    assert node.committed == 0
    reply_to(node, 1, 2)
    assert node.committed == 2


def test_only_what_the_leader_has_confirmed_is_committed() -> None:
    log = MemoryLog()
    log.append([Entry(1, EntryKind.COMMAND, bytes([number])) for number in range(5)])
    node = node_of(log)
    assert node.on_append(Append(2, 1, 2, 1, 5), 0.0).accepted
    assert node.committed == 2  # what is behind may not be what the leader has
