from __future__ import annotations

import pytest
from jina.core.config import ExecutorOptions, GatewayOptions
from jina.core.errors import NotSupportedError
from jina.runtime.commands import EXECUTOR, GATEWAY


def test_commands_are_registered_with_their_options() -> None:
    assert (EXECUTOR.name, EXECUTOR.options, EXECUTOR.hidden) == ('executor', ExecutorOptions, False)
    assert (GATEWAY.name, GATEWAY.options, GATEWAY.hidden) == ('gateway', GatewayOptions, True)


def test_one_process_has_one_replica() -> None:
    with pytest.raises(
        NotSupportedError, match='jina executor runs one process and replicas is 2; use jina deployment'
    ):
        EXECUTOR.run(ExecutorOptions(replicas=2))
    with pytest.raises(NotSupportedError, match='jina gateway runs one process and replicas is 2; start it several'):
        GATEWAY.run(GatewayOptions(replicas=2))
