"""The pictures of Flows in the pages are those that the pages' code draws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs_page import Page

DOCS = Path(__file__).parents[2] / 'docs'
NUMBER = re.compile(r'\d+(?:\.\d+)?')


def test_picture_of_the_page_about_pictures(tmp_path: Path) -> None:
    block = next(block for block in Page(DOCS / 'how-to' / 'draw-flows.md', tmp_path).blocks() if block.runs)
    subprocess.run([sys.executable, '-c', block.body], cwd=tmp_path, check=True, timeout=120)
    drawn, shown = (tmp_path / 'flow.svg').read_text(), (DOCS / 'images' / 'flow.svg').read_text()
    advice = 'copy the flow.svg that the page draws to docs/images'
    assert NUMBER.split(drawn) == NUMBER.split(shown), advice
    # Newer versions of Python add floats up more exactly.
    assert [*map(float, NUMBER.findall(drawn))] == pytest.approx([*map(float, NUMBER.findall(shown))], abs=0.15), advice
