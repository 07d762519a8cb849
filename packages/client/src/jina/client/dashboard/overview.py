"""What the page shows, from what the server and its processes have told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from jina.client.dashboard.backend import Deployed, State
from jina.client.dashboard.scraping import WINDOW_S, Process
from jina.client.dashboard.window import quantile

__all__ = ['overview']

RATE_S: Final = 5.0
"""Seconds that rates are about."""
_PERCENTILES: Final = {'p50': 0.5, 'p95': 0.95, 'p99': 0.99}
_RECEIVING: Final = 'jina_receiving_request_seconds'
_SENDING: Final = 'jina_sending_request_seconds'


def overview(state: State, processes: Sequence[Process]) -> dict[str, Any]:
    """Returns the state of the server and the figures of each node as JSON data."""
    entry = state.nodes[0].name if state.nodes else ''
    gateways = [process for process in processes if process.deployment == entry]
    nodes = []
    for node in state.nodes:
        own = _processes_of(node, state, processes)
        nodes.append(_node(node, state, own, [] if node.name == entry else gateways))
    return {
        'ready': not state.error,
        'error': state.error,
        'nodes': nodes,
        'outputs': list(state.outputs),
        'metrics': [{'address': one.address, 'name': one.name, 'error': one.error} for one in processes],
        'notes': list(_notes(nodes, processes)),
        'window': WINDOW_S,
    }


def _processes_of(node: Deployed, state: State, processes: Sequence[Process]) -> list[Process]:
    """An Executor without a gateway is alone: all processes are its own."""
    return list(processes) if len(state.nodes) == 1 else [one for one in processes if one.deployment == node.name]


def _node(node: Deployed, state: State, own: Sequence[Process], gateways: Sequence[Process]) -> dict[str, Any]:
    heads = [process for process in own if '/head' in process.name]  # what goes to shards comes through them
    requests = _figures(heads or own, _RECEIVING, {})
    if not any(process.name for process in own):
        requests = _figures(gateways, _SENDING, {'deployment': node.name})
    queue = None if node.needs else _now(own, 'jina_number_of_pending_requests', {})
    if queue is None:
        queue = _now(own, 'jina_queue_length', {})
    return {
        'name': node.name,
        'needs': list(node.needs),
        'floating': node.floating,
        'figures': requests,
        'queue': queue,
        'processes': [{'name': one.name, 'address': one.address, 'up': one.error is None} for one in own],
        'replicas': [_replica(node.name, address, state, gateways) for address in node.replicas],
    }


def _now(processes: Iterable[Process], gauge: str, labels: dict[str, str]) -> float | None:
    """The sum of a gauge over the processes that answer; None if none of them has it."""
    found = [
        sample.value
        for process in processes
        if process.error is None
        for sample in process.window.latest(gauge, **labels)
    ]
    return sum(found) if found else None


def _replica(name: str, address: str, state: State, gateways: Sequence[Process]) -> dict[str, Any]:
    labels = {'deployment': name, 'address': address}
    return {
        'address': address,
        'up': address not in state.silent,
        'in_flight': _now(gateways, 'jina_replica_requests_in_flight', labels),
        'rate': _rate(gateways, f'{_SENDING}_count', labels),
    }


def _figures(processes: Sequence[Process], metric: str, labels: dict[str, str]) -> dict[str, float | None]:
    """Rates per second, and latencies in milliseconds; errors are only known from processes that count them."""
    buckets: dict[float, float] = {}
    for process in processes:
        if process.error is None:
            for bound, count in process.window.buckets(metric, WINDOW_S, **labels).items():
                buckets[bound] = buckets.get(bound, 0.0) + count
    found: dict[str, float | None] = {}
    for name, share in _PERCENTILES.items():
        seconds = quantile(share, buckets)
        found[name] = None if seconds is None else seconds * 1000
    if labels:  # as the gateway sees it
        return {**found, 'rate': _rate(processes, f'{metric}_count', labels), 'errors': None, 'failed': None}
    errors = _rate(processes, 'jina_failed_requests_total', {})
    answered = _rate(processes, 'jina_successful_requests_total', {})
    failed = sum(
        sample.value for process in processes for sample in process.window.latest('jina_failed_requests_total')
    )
    rate = None if answered is None or errors is None else answered + errors
    return {**found, 'rate': rate, 'errors': errors, 'failed': failed if processes else None}


def _rate(processes: Iterable[Process], metric: str, labels: dict[str, str]) -> float | None:
    rates = [process.window.rate(metric, RATE_S, **labels) for process in processes if process.error is None]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def _notes(nodes: Sequence[dict[str, Any]], processes: Sequence[Process]) -> Iterable[str]:
    """What to switch on to see more."""
    if not processes:
        yield (
            'Rates, latencies, errors and queues need metrics: start the Flow with monitoring=True. If its processes can not be '
            'asked from here, give --metrics host:port for the port_monitoring of the gateway and of each Executor.'
        )
        return
    for process in processes:
        if process.error is not None:
            yield process.error
    missing = [node['name'] for node in nodes if not node['processes']]
    if missing:
        yield (
            f'Errors and queues of {", ".join(missing)} are not known: start them with monitoring=True, or give '
            '--metrics host:port for their port_monitoring.'
        )
