"""What each process of a Deployment is given."""

from __future__ import annotations

from jina.core.config import DeploymentOptions
from jina.orchestrate.pod_options import around_options, gateway_options, head_options, replica_options


def given(options: DeploymentOptions) -> int | None:
    """The port for Prometheus that a process takes: the entry of its number."""
    ports = options.port_monitoring
    return ports[options.replica_id] if options.replica_id < len(ports) and ports[options.replica_id] else None


def test_each_process_has_a_port_for_prometheus_of_its_own() -> None:
    options = DeploymentOptions(monitoring=True, port_monitoring=[1, 2, 3], replicas=4)
    assert [given(one) for one in replica_options(options, is_public=False)] == [1, 2, 3, None]
    assert [given(one) for one in replica_options(options, is_public=False, replicas=range(2, 5))] == [3, None, None]


def test_a_head_comes_first_and_then_the_first_replica_of_each_shard() -> None:
    ports = [1, 2, 3, 4, 5]
    options = DeploymentOptions(monitoring=True, port_monitoring=ports, replicas=2, shards=2, uses_after='docker://a')
    assert given(head_options(options, [['a:1'], ['b:1']], {}, is_public=False)) == 1
    shards = [replica_options(options, is_public=False, shard=shard) for shard in range(2)]
    assert [[given(one) for one in shard] for shard in shards] == [[2, 4], [3, 5]]
    assert [given(one) for one in around_options(options)] == [None]


def test_a_gateway_in_front_of_replicas_records_too() -> None:
    options = DeploymentOptions(
        replicas=2,
        tracing=True,
        traces_exporter_host='collector',
        metrics=True,
        monitoring=True,
        port_monitoring=[1, 2],
    )
    front = gateway_options(options, ['a:1', 'b:1'])
    assert (front.tracing, front.traces_exporter_host, front.metrics) == (True, 'collector', True)
    assert (front.monitoring, front.port_monitoring) == (True, [])  # the ports are the replicas'
