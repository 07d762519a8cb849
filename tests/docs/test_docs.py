"""Every code block of README.md and of docs/ runs and prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_page import Page

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'packages').glob('*/README.md')])


@pytest.mark.timeout(300)
@pytest.mark.parametrize('path', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_run(path: Path, tmp_path: Path) -> None:
    page = Page(path, tmp_path)
    runnable = [block for block in page.blocks() if block.runs]
    assert page.run() == len(runnable)
