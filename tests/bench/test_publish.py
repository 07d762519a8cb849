"""From a run's figures to targets, pictures and the page, and the published page beside its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.bench.plots import Bar, Group, chart, main, pictures
from tests.bench.publish import merge, page, publish
from tests.bench.results import Figure, Results
from tests.bench.targets import TARGETS, Target, lines, markdown, outcomes
from tests.support.requirements import ROOT

SVG = '{http://www.w3.org/2000/svg}'


def sample(scenario: str, side: str, level: int | str, *errors: str, **medians: float) -> dict[str, Any]:
    return {
        'scenario': scenario,
        'side': side,
        'level': level,
        'figures': {name: [value] * 3 for name, value in medians.items()},
        'medians': medians,
        'errors': list(errors),
    }


def load(scenario: str, side: str, level: int, rate: float) -> dict[str, Any]:
    return sample(scenario, side, level, rate=rate, p50_ms=1.5, p99_ms=2.5, cpu_ms=0.25, pss_mb=40.0, processes=2)


def document(*samples: dict[str, Any]) -> dict[str, Any]:
    return {
        'machine': {'processor': 'Some CPU', 'cores': 2, 'system': 'Linux', 'release': '6.1'},
        'settings': {'rounds': 3, 'seconds': 2.0},
        'versions': {'jina': {'jina': '0.1.0', 'Python': '3.11'}},
        'samples': list(samples),
    }


def test_targets_say_what_was_reached() -> None:
    ratio = Target('rate', Figure('grpc-echo', 'jina', 64), 0.8, Figure('grpc-echo', 'bare', 64))
    time = Target('import', Figure('import-module', 'jina', name='time'), 0.03, at_most=True, unit='s')
    unknown = Target('none', Figure('chain-4', 'jina', 1), 1.0)
    results = Results(
        document(
            load('grpc-echo', 'jina', 64, 740),
            load('grpc-echo', 'bare', 64, 1000),
            sample('import-module', 'jina', '', time=0.02),
        )
    )
    found = outcomes(results, [ratio, time, unknown])
    assert lines(found).splitlines() == [
        'rate: 0.74 (target at least 0.8, not met)',
        'import: 0.02 s (target at most 0.03 s, met)',
    ]
    assert '| none | - | at least 1 | not measured |' in markdown(found).splitlines()


def test_every_target_names_a_figure_that_the_harness_measures() -> None:
    from tests.bench.programs import PROGRAMS
    from tests.bench.scenarios import LOADS, PROBES

    levels = {scenario.name: scenario.levels for scenario in LOADS}
    figures = {probe.name: set(probe.units) for probe in PROBES}
    programs = {program.name for program in PROGRAMS}
    for figure in (figure for target in TARGETS for figure in (target.ours, target.other) if figure):
        if figure.scenario in levels:
            assert figure.level in levels[figure.scenario], figure
        elif figure.scenario in figures:
            assert figure.name in figures[figure.scenario], figure
        else:
            assert figure.scenario in programs, figure
    assert len({target.name for target in TARGETS}) == len(TARGETS)


def test_chart_has_a_bar_of_the_right_length_for_each_value() -> None:
    groups = [Group('a & b', [Bar('jina', 2.0, 'two'), Bar('bare', 1.0, 'one')]), Group('empty', [])]
    tree = ElementTree.fromstring(chart('title', '', groups, mark=1.0))
    widths = {
        rect.get('fill'): float(rect.get('width', '0'))
        for rect in tree.iter(f'{SVG}rect')
        if rect.get('y') != '44' and 'fill' in rect.attrib and rect.get('width') != '100%'
    }
    assert sorted(widths.values())[1] == 2 * sorted(widths.values())[0]
    assert {'a & b', 'two', 'one'} <= {text.text for text in tree.iter(f'{SVG}text')}
    assert 'empty' not in {text.text for text in tree.iter(f'{SVG}text')}


def test_plots_are_written(tmp_path: Path) -> None:
    file = tmp_path / 'results.json'
    file.write_text(json.dumps(document(load('grpc-echo', 'jina', 64, 740), load('grpc-echo', 'bare', 64, 1000))))
    assert main([str(file), str(tmp_path / 'plots')]) == 0
    assert '0.74 × (740/s)' in (tmp_path / 'plots' / 'rates.svg').read_text()


def test_page_says_where_others_are_ahead_and_what_failed() -> None:
    text = page(
        Results(
            document(
                load('http-echo-peers', 'jina', 64, 1000),
                load('http-echo-peers', 'mosec', 64, 1500),
                sample('http-echo-peers', 'ray', 'start', 'Traceback\nray cannot be installed'),
            )
        )
    )
    assert 'other frameworks: **mosec** 1.50 × with 64 connections.' in text
    assert 'Ray Serve had errors: ray cannot be installed' in text
    assert '| 64 | mosec | 1,500 | 0.67 × | 1.50 | 2.50 | 0.250 | 40 |' in text
    assert '3 rounds of at least 2 s each' in ' '.join(text.split())
    assert '2 cores, Some CPU, Linux 6.1, loopback.' in text


def test_merge_takes_scenarios_of_the_later_run() -> None:
    early = document(load('grpc-echo', 'jina', 64, 1), load('stream', 'jina', 16, 2))
    late = document(load('grpc-echo', 'jina', 64, 3), sample('http-echo', 'jina', 1, 'Traceback of a file\nboom'))
    merged = merge([early, late])['samples']
    rates = [(each['scenario'], each['medians'].get('rate'), each['errors']) for each in merged]
    assert rates == [('grpc-echo', 3, []), ('http-echo', None, ['boom']), ('stream', 2, [])]


def test_published_page_is_that_of_its_figures(tmp_path: Path) -> None:
    docs = ROOT / 'docs'
    figures = docs / 'assets' / 'benchmarks' / 'results.json'
    written = publish(json.loads(figures.read_text()), tmp_path)
    assert len(written) == 2 + len(pictures(Results(json.loads(figures.read_text()))))
    for file in written:
        assert file.read_text() == (docs / file.relative_to(tmp_path)).read_text(), (
            f'{file.name} is out of date: python -m tests.bench.publish {figures}'
        )
