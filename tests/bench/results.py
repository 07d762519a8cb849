"""The figures of a run, looked up in its JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Names one median of a run."""

    scenario: str
    side: str
    level: int | str = ''
    name: str = 'rate'


class Results:
    """The medians of a run.

    Args:
        document: What ``--json`` has written.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = document['machine']
        self.settings: dict[str, Any] = document['settings']
        self.versions: dict[str, dict[str, str]] = document['versions']
        self.samples: list[dict[str, Any]] = document['samples']
        self._medians: dict[tuple[str, str, int | str], dict[str, float]] = {
            (sample['scenario'], sample['side'], sample['level']): sample['medians'] for sample in self.samples
        }

    def get(self, figure: Figure) -> float | None:
        """A median, or None if it was not measured."""
        return self._medians.get((figure.scenario, figure.side, figure.level), {}).get(figure.name)

    def sides(self, scenario: str) -> list[str]:
        """The sides that took part in a scenario, in its order."""
        return list(dict.fromkeys(sample['side'] for sample in self.samples if sample['scenario'] == scenario))

    def levels(self, scenario: str) -> list[int | str]:
        """The levels that a scenario was measured at."""
        return list(
            dict.fromkeys(
                sample['level']
                for sample in self.samples
                if sample['scenario'] == scenario and sample['level'] != 'start'
            )
        )

    def medians(self, scenario: str, side: str, level: int | str) -> dict[str, float]:
        """All medians of one side at one level; empty if it failed."""
        return self._medians.get((scenario, side, level), {})

    def errors(self, scenario: str) -> dict[str, str]:
        """By side, the last line of the first error in a scenario."""
        found: dict[str, str] = {}
        for sample in self.samples:
            if sample['scenario'] == scenario and sample['errors']:
                found.setdefault(sample['side'], sample['errors'][0].strip().splitlines()[-1][:160])
        return found
