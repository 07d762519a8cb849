"""The files for Grafana and Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from jina.telemetry.dashboards import ALERTS, ROWS, export_dashboards, expressions, grafana_dashboard
from jina.telemetry.scaling import adapter_values, scaling_expressions


def test_files(tmp_path: Path) -> None:
    dashboard, rules, adapter = export_dashboards(tmp_path / 'new')
    assert yaml.safe_load(adapter.read_text()) == adapter_values()
    assert json.loads(dashboard.read_text()) == grafana_dashboard()
    (group,) = yaml.safe_load(rules.read_text())['groups']
    assert [rule['alert'] for rule in group['rules']] == [alert.name for alert in ALERTS]


def test_panels_do_not_overlap() -> None:
    panels = grafana_dashboard()['panels']
    assert len({panel['id'] for panel in panels}) == len(panels) == len(ROWS) + sum(map(len, ROWS.values()))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel['gridPos']
        cells = {
            (x, y)
            for x in range(place['x'], place['x'] + place['w'])
            for y in range(place['y'], place['y'] + place['h'])
        }
        assert not taken & cells, panel['title']
        taken |= cells
    assert max(x for x, _ in taken) == 23


def test_variables_are_filled_in() -> None:
    found = list(expressions(runtime='gateway.*', interval='7m'))
    assert not any('$runtime' in one or '$__' in one for one in found)
    assert any('runtime_name=~"gateway.*"' in one and '[7m]' in one for one in found)


def test_the_templates_of_the_adapter_are_filled_in() -> None:
    found = dict(scaling_expressions(namespace='space', pods='a-1|a-2', interval='7m'))
    assert set(found) == {'concurrency', 'rps'}
    for query in found.values():
        assert '<<' not in query
        assert 'namespace="space",pod=~"a-1|a-2"' in query
        assert '[7m]' in query
        assert query.startswith('sum by (pod) (')
