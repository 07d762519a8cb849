"""The page on torch: its blocks are skipped where torch is missing, and run here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_page import Block, Page

pytest.importorskip('torch', reason='tests/integration/test_torch.py runs this in an environment with torch')

PAGE = Path(__file__).parents[2] / 'docs' / 'how-to' / 'torch-and-gpus.md'


class WithTorch(Page):
    def blocks(self) -> Iterator[Block]:
        for block in super().blocks():
            if 'needs torch' in block.mode:
                block.mode = ''
            yield block


def test_the_blocks_run(tmp_path: Path) -> None:
    page = WithTorch(PAGE, tmp_path)
    assert page.run() == sum(block.runs for block in page.blocks()) >= 2
