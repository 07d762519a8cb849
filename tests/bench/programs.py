"""Measurements that are no rows of rates, each a module of its own that writes JSON; their figures join those of a run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.runner import Sample
from tests.support.requirements import ROOT


@dataclass(frozen=True)
class Program:
    """One of them."""

    name: str
    title: str
    samples: Callable[[Any], list[Sample]]
    """Turns what it wrote into figures."""


def run_program(program: Program, *, quick: bool) -> tuple[list[Sample], str]:
    """Runs it; returns its figures and the table that it printed."""
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        file = Path(folder) / 'figures.json'
        command = [sys.executable, '-m', f'tests.bench.{program.name}', '--json', str(file)]
        done = subprocess.run(
            [*command, '--quick'] if quick else command, cwd=ROOT, capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            return [Sample(program.name, 'jina', level='', errors=[done.stderr])], done.stderr
        return program.samples(json.loads(file.read_text())), done.stdout


def _codec(rows: list[dict[str, Any]]) -> list[Sample]:
    found: dict[tuple[str, str], Sample] = {}
    for row in rows:
        for side, key in (('jina', 'ours'), ('docarray', 'docarray')):
            sample = found.setdefault((side, row['name']), Sample('codec', side, row['name']))
            sample.add(**{row['direction']: row[key]})
    return list(found.values())


def _large(rows: list[dict[str, Any]]) -> list[Sample]:
    found = []
    for row in rows:
        sample = Sample('large', 'jina', row['name'])
        sample.add(rate=row['rate'], memory=max(row['memory'].values()))
        found.append(sample)
    return found


def _stages(rows: list[dict[str, Any]]) -> list[Sample]:
    found: dict[str, Sample] = {}
    for row in rows:
        found.setdefault(row['request'], Sample('stages', 'jina', row['request'])).add(**{row['stage']: row['cpu_us']})
    return list(found.values())


PROGRAMS = (
    Program('codec', 'documents to bytes and back, without servers', _codec),
    Program('large', 'one array of 64 MB a document: rate and memory of each hop', _large),
    Program('stages', "where one request's CPU time goes", _stages),
)
