"""Options of the consensus among the replicas of a stateful Executor, named as in Hashicorp's Raft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from jina.core.config.base import Options, option
from jina.core.config.build import build
from jina.core.config.values import parse_mapping

if TYPE_CHECKING:
    from typing_extensions import Self

_LOGGED = 'the replicas log as log_config says'
_CALLBACK = 'it is for programs in Go'


class RaftOptions(Options):
    """How the replicas of a stateful Executor agree on the order of writes. Times are in milliseconds."""

    owner: ClassVar[str] = 'raft_configuration'

    heartbeat_timeout: Annotated[int, Field(ge=5)] = option(1000, aliases=('HeartbeatTimeout',))
    """A replica that hears nothing from the leader for so long asks the others for their votes."""
    election_timeout: Annotated[int, Field(ge=5)] = option(1000, aliases=('ElectionTimeout',))
    """A replica that isn't elected within this time starts another election. At least ``heartbeat_timeout``."""
    commit_timeout: Annotated[int, Field(ge=1)] = option(50, aliases=('CommitTimeout',))
    """The other replicas learn at the latest after so long which writes are committed."""
    leader_lease_timeout: Annotated[int, Field(ge=5)] = option(500, aliases=('LeaderLeaseTimeout',))
    """A leader that doesn't hear from a majority for so long steps down. At most ``heartbeat_timeout``."""
    max_append_entries: Annotated[int, Field(ge=1)] = option(1024, aliases=('MaxAppendEntries',))
    """Writes in one message to another replica, at most."""
    snapshot_interval: Annotated[int, Field(ge=5)] = option(120_000, aliases=('SnapshotInterval',))
    """How often a replica looks whether it is time for a snapshot."""
    snapshot_threshold: Annotated[int, Field(ge=1)] = option(8192, aliases=('SnapshotThreshold',))
    """Writes since the last snapshot from which on another one is made."""
    trailing_logs: Annotated[int, Field(ge=0)] = option(10_240, aliases=('TrailingLogs',))
    """Writes before a snapshot that stay in the log, for replicas that are a little behind."""
    no_snapshot_restore_on_start: bool = option(False, aliases=('NoSnapshotRestoreOnStart',))
    """Don't call ``restore`` at the start: the Executor has kept its state itself. Only writes after the snapshot are applied."""
    local_id: Any = option(None, aliases=('LocalID',), unsupported='the number of the replica is its identity')
    """Identity of the replica."""
    shutdown_on_remove: Any = option(
        None, aliases=('ShutdownOnRemove',), unsupported='replicas are never removed from a running cluster'
    )
    """Whether a replica ends that is removed from the cluster."""
    batch_apply_ch: Any = option(
        None, aliases=('BatchApplyCh',), unsupported='writes that come together always share a message'
    )
    """Whether waiting writes are put together."""
    protocol_version: Any = option(
        None, aliases=('ProtocolVersion',), unsupported='all replicas of a cluster run the same version'
    )
    """Version of the messages between replicas."""
    notify_ch: Any = option(None, aliases=('NotifyCh',), unsupported=_CALLBACK)
    """Channel that is told of changes of the leader."""
    logger: Any = option(None, aliases=('Logger',), unsupported=_LOGGED)
    """Logger of the consensus."""
    log_output: Any = option(None, aliases=('LogOutput',), unsupported=_LOGGED)
    """Where the consensus logs to."""
    log_level: Any = option(None, aliases=('LogLevel',), unsupported=_LOGGED)
    """Level of the consensus's log."""
    no_legacy_telemetry: Any = option(
        None, aliases=('NoLegacyTelemetry', 'noLegacyTelemetry'), unsupported='there are no metrics of that kind'
    )
    """Whether metrics under old names are left out."""

    @model_validator(mode='after')
    def _check_times(self) -> Self:
        if self.leader_lease_timeout > self.heartbeat_timeout:
            raise PydanticCustomError(
                'lease',
                'leader_lease_timeout is {lease} ms, more than heartbeat_timeout ({heartbeat} ms): two leaders could be at work',
                {'lease': self.leader_lease_timeout, 'heartbeat': self.heartbeat_timeout},
            )
        if self.election_timeout < self.heartbeat_timeout:
            raise PydanticCustomError(
                'election',
                'election_timeout is {election} ms; give at least heartbeat_timeout ({heartbeat} ms)',
                {'election': self.election_timeout, 'heartbeat': self.heartbeat_timeout},
            )
        return self


def check_raft(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings under the names of :class:`RaftOptions`, if they are right.

    Raises:
        ConfigError: An option doesn't exist, isn't available here, or has a wrong value.
    """
    options = build(RaftOptions, settings, where=RaftOptions.owner)
    return options.model_dump(include=options.model_fields_set)


RaftSettings = Annotated[dict[str, Any], BeforeValidator(parse_mapping), AfterValidator(check_raft)]
