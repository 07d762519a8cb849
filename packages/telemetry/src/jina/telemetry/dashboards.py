"""A Grafana dashboard, Prometheus alert rules, and rules of Prometheus Adapter for what Flows and Deployments measure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from jina.telemetry.scaling import adapter_values

__all__ = ['ALERTS', 'ROWS', 'Alert', 'Panel', 'alert_rules', 'export_dashboards', 'expressions', 'grafana_dashboard']

DASHBOARD_FILE: Final = 'grafana-dashboard.json'
ALERTS_FILE: Final = 'prometheus-alerts.yml'
ADAPTER_FILE: Final = 'prometheus-adapter.yml'
_ADAPTER_HEAD: Final = (
    '# Values for the Helm chart prometheus-adapter: what `autoscale` by concurrency and rps needs in a cluster.\n'
)
_WIDTH: Final = 24
_HEIGHT: Final = 8
_PER_ROW: Final = 2
_SELECTED: Final = 'runtime_name=~"$runtime"'


@dataclass(frozen=True)
class Panel:
    """A time series.

    Attributes:
        title: What it shows.
        unit: Grafana's name of the unit.
        queries: PromQL by legend, in Grafana's template syntax.
        description: What to read from it.
    """

    title: str
    unit: str
    queries: Mapping[str, str]
    description: str


@dataclass(frozen=True)
class Alert:
    """A rule.

    Attributes:
        name: Its name.
        expression: PromQL that is true while something is wrong.
        lasting: How long it has to be true, as Prometheus writes durations.
        severity: ``warning`` or ``critical``.
        summary: What is wrong, in Prometheus' template syntax.
        description: What to do.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str
    description: str


def _quantiles(metric: str, by: str, label: str, where: str = _SELECTED) -> dict[str, str]:
    return {
        f'p{number} {label}': (
            f'histogram_quantile({number / 100}, sum by (le, {by}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))'
        )
        for number in (50, 95, 99)
    }


def _rate(metric: str, by: str, where: str = _SELECTED) -> str:
    return f'sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))'


_NAME = 'runtime_name'
_ENDPOINT = 'executor, executor_endpoint'
ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    'Requests': (
        Panel(
            'Request rate',
            'reqps',
            {'{{runtime_name}}': _rate('jina_successful_requests_total', _NAME)},
            'Requests that were answered, by process.',
        ),
        Panel(
            'Failed requests',
            'reqps',
            {'{{runtime_name}}': _rate('jina_failed_requests_total', _NAME)},
            'An Executor raised, or could not be reached.',
        ),
        Panel(
            'Latency at the gateway',
            's',
            _quantiles(
                'jina_receiving_request_seconds', _NAME, '{{runtime_name}}', f'{_SELECTED},runtime_name=~"gateway.*"'
            ),
            'From the arrival of a request to its answer.',
        ),
        Panel(
            'Requests under way',
            'short',
            {'{{runtime_name}}': f'sum by ({_NAME}) (jina_number_of_pending_requests{{{_SELECTED}}})'},
            'It grows without end when Executors are too slow for what comes in.',
        ),
    ),
    'Executors': (
        Panel(
            'Time in the method',
            's',
            _quantiles('jina_process_request_seconds', _ENDPOINT, '{{executor}} {{executor_endpoint}}'),
            'The time that your code takes for one call.',
        ),
        Panel(
            'Documents',
            'ops',
            {'{{executor}} {{executor_endpoint}}': _rate('jina_document_processed_total', _ENDPOINT)},
            'Documents given to methods each second.',
        ),
        Panel(
            'Time on the way to Executors and back',
            's',
            _quantiles('jina_sending_request_seconds', 'deployment, address', '{{deployment}} {{address}}'),
            'As the gateway sees it; minus the time in the method it is the way and the queue.',
        ),
        Panel(
            'Queues and replicas',
            'short',
            {
                'queue {{runtime_name}}': f'sum by ({_NAME}) (jina_queue_length{{{_SELECTED}}})',
                'in flight {{deployment}} {{address}}': (
                    f'sum by (deployment, address) (jina_replica_requests_in_flight{{{_SELECTED}}})'
                ),
            },
            'Calls that run or wait in an Executor, and requests under way at each replica.',
        ),
    ),
    'Batches and streams': (
        Panel(
            'Batch size',
            'short',
            {
                '{{executor}} {{executor_endpoint}}': (
                    f'{_rate("jina_batch_size_sum", _ENDPOINT)} / {_rate("jina_batch_size_count", _ENDPOINT)}'
                )
            },
            'Mean number of documents in a batch; far below preferred_batch_size there is too little load for it.',
        ),
        Panel(
            'Waiting for a batch',
            's',
            _quantiles('jina_batch_waiting_seconds', _ENDPOINT, '{{executor}} {{executor_endpoint}}'),
            'What dynamic batching adds to the latency.',
        ),
        Panel(
            'Time to the first item of a stream',
            's',
            _quantiles('jina_stream_first_item_seconds', _NAME, '{{runtime_name}}'),
            'How long a reader waits before something appears.',
        ),
    ),
    'Processes': (
        Panel(
            'Lag of the event loop',
            's',
            _quantiles('jina_event_loop_lag_seconds', _NAME, '{{runtime_name}}'),
            'An async method that computes, or blocks, holds up everything else in its process.',
        ),
        Panel(
            'Restarts',
            'short',
            {'{{runtime_name}}': f'sum by ({_NAME}) (jina_restarts_total{{{_SELECTED}}})'},
            'How often a process was started again, by its restart policy, after it had ended by itself.',
        ),
    ),
    'Sizes': (
        Panel(
            'Bytes received',
            'Bps',
            {'{{runtime_name}}': _rate('jina_received_request_bytes_sum', _NAME)},
            'Requests, by process.',
        ),
        Panel(
            'Bytes sent',
            'Bps',
            {'{{runtime_name}}': _rate('jina_sent_response_bytes_sum', _NAME)},
            'Answers, by process.',
        ),
    ),
}
"""The panels of the dashboard by the title of their row."""

ALERTS: Final = (
    Alert(
        'JinaErrorRate',
        'sum by (runtime_name) (rate(jina_failed_requests_total[5m])) > 0.05 * '
        '(sum by (runtime_name) (rate(jina_failed_requests_total[5m])) '
        '+ sum by (runtime_name) (rate(jina_successful_requests_total[5m])))',
        '5m',
        'critical',
        'More than 5 % of the requests to {{ $labels.runtime_name }} fail',
        'Look at the log of the Executor for what it raised, and at its replicas for one that is gone.',
    ),
    Alert(
        'JinaSlowRequests',
        'histogram_quantile(0.95, sum by (le, runtime_name) '
        '(rate(jina_receiving_request_seconds_bucket{runtime_name=~"gateway.*"}[5m]))) > 2',
        '10m',
        'warning',
        'One of twenty requests to {{ $labels.runtime_name }} takes longer than 2 s',
        'Compare the time in the methods with that on the way: add replicas if calls wait, else make the method faster.',
    ),
    Alert(
        'JinaBacklog',
        'min_over_time(jina_number_of_pending_requests[5m]) > 100 and deriv(jina_number_of_pending_requests[5m]) > 0',
        '5m',
        'warning',
        'Requests pile up at {{ $labels.runtime_name }}',
        'More comes in than the Executors can do: add replicas, or limit what is let in.',
    ),
    Alert(
        'JinaEventLoopBlocked',
        'histogram_quantile(0.99, sum by (le, runtime_name) (rate(jina_event_loop_lag_seconds_bucket[5m]))) > 0.5',
        '5m',
        'warning',
        'The event loop of {{ $labels.runtime_name }} is blocked for half a second at a time',
        'An async method computes or waits without await: make it a def, or move the work to a thread.',
    ),
    Alert(
        'JinaRestarts',
        'increase(jina_restarts_total[15m]) > 2',
        '0m',
        'warning',
        '{{ $labels.runtime_name }} ended by itself several times in a quarter of an hour',
        'Its log says how: an exception of exit_on_exceptions, or a signal; SIGKILL comes mostly from a lack of memory.',
    ),
    Alert(
        'JinaDown',
        'up{job=~".*jina.*"} == 0',
        '2m',
        'critical',
        '{{ $labels.instance }} does not answer Prometheus',
        'The process is gone or hangs: look at its log and at what restarts it.',
    ),
)
"""The rules. Their limits are a start: set them to what your users need."""


def grafana_dashboard(title: str = 'Jina') -> dict[str, Any]:
    """Returns the dashboard as Grafana imports it, with a choice of the data source and of processes."""
    return {
        'title': title,
        'uid': 'jina-serve',
        'tags': ['jina'],
        'schemaVersion': 39,
        'editable': True,
        'refresh': '10s',
        'time': {'from': 'now-30m', 'to': 'now'},
        'templating': {'list': _variables()},
        'panels': list(_panels()),
    }


def alert_rules() -> dict[str, Any]:
    """Returns the rules as Prometheus reads them."""
    rules = [
        {
            'alert': alert.name,
            'expr': alert.expression,
            'for': alert.lasting,
            'labels': {'severity': alert.severity},
            'annotations': {'summary': alert.summary, 'description': alert.description},
        }
        for alert in ALERTS
    ]
    return {'groups': [{'name': 'jina', 'rules': rules}]}


def expressions(*, runtime: str = '.+', interval: str = '1m') -> Iterator[str]:
    """Yields every PromQL expression of the dashboard and of the rules, with Grafana's variables filled in.

    Args:
        runtime: Pattern of names of processes.
        interval: Window of rates.
    """
    for panels in ROWS.values():
        for panel in panels:
            for query in panel.queries.values():
                yield query.replace('$runtime', runtime).replace('$__rate_interval', interval)
    for alert in ALERTS:
        yield alert.expression


def export_dashboards(outpath: str | os.PathLike[str]) -> list[Path]:
    """Writes the dashboard, the rules, and values for Prometheus Adapter into a folder.

    Args:
        outpath: The folder; it is made if it isn't there.

    Returns:
        The files.
    """
    folder = Path(outpath)
    folder.mkdir(parents=True, exist_ok=True)
    dashboard, rules, adapter = folder / DASHBOARD_FILE, folder / ALERTS_FILE, folder / ADAPTER_FILE
    dashboard.write_text(json.dumps(grafana_dashboard(), indent=2) + '\n')
    rules.write_text(yaml.safe_dump(alert_rules(), sort_keys=False, width=120))
    adapter.write_text(_ADAPTER_HEAD + yaml.safe_dump(adapter_values(), sort_keys=False, width=120))
    return [dashboard, rules, adapter]


def _variables() -> list[dict[str, Any]]:
    names = 'label_values(jina_successful_requests_total, runtime_name)'
    return [
        {'name': 'source', 'type': 'datasource', 'query': 'prometheus', 'label': 'Data source'},
        {
            'name': 'runtime',
            'type': 'query',
            'label': 'Process',
            'datasource': {'type': 'prometheus', 'uid': '${source}'},
            'query': {'query': names, 'refId': 'runtime'},
            'definition': names,
            'includeAll': True,
            'allValue': '.+',
            'multi': True,
            'refresh': 2,
            'current': {'text': 'All', 'value': '$__all'},
        },
    ]


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    width = _WIDTH // _PER_ROW
    for title, panels in ROWS.items():
        yield {'id': number, 'type': 'row', 'title': title, 'gridPos': {'h': 1, 'w': _WIDTH, 'x': 0, 'y': top}}
        number, top = number + 1, top + 1
        for index, panel in enumerate(panels):
            left, down = index % _PER_ROW * width, index // _PER_ROW * _HEIGHT
            place = {'h': _HEIGHT, 'w': width, 'x': left, 'y': top + down}
            yield _panel(panel, number, place)
            number += 1
        top += -(-len(panels) // _PER_ROW) * _HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    source = {'type': 'prometheus', 'uid': '${source}'}
    return {
        'id': number,
        'type': 'timeseries',
        'title': panel.title,
        'description': panel.description,
        'gridPos': place,
        'datasource': source,
        'fieldConfig': {'defaults': {'unit': panel.unit, 'min': 0}, 'overrides': []},
        'targets': [
            {'refId': chr(ord('A') + index), 'datasource': source, 'expr': query, 'legendFormat': legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }
