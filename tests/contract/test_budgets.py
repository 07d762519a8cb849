"""Size budgets of functions and files; each exception has a reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.distributions import ROOT, distributions, functions

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 600
MAX_PARAMETERS = 7
LONG_FUNCTIONS: dict[str, str] = {}
"""``path:function`` of functions that may be longer, with the reason."""
LONG_FILES: dict[str, str] = {}
"""Paths of files that may be longer, with the reason."""
FORBIDDEN_NAMES = {'helper.py', 'helpers.py', 'utils.py', 'util.py', 'common.py', 'misc.py'}

FILES = [file for distribution in distributions() for file in distribution.sources]
each_file = pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(ROOT / 'packages')))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, the docstring and the signature's further lines left out."""
    body = function.body
    has_docstring = ast.get_docstring(function) is not None
    first = body[1] if has_docstring and len(body) > 1 else body[0]
    return (function.end_lineno or 0) - first.lineno + 2


def is_marked(source: list[str], function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the signature carries ruff's mark for a documented signature that is longer."""
    return any('noqa: PLR0913' in line for line in source[function.lineno - 1 : function.body[0].lineno])


@each_file
def test_budgets(file: Path) -> None:
    place = str(file.relative_to(ROOT))
    text = file.read_text()
    source = text.splitlines()
    assert len(source) <= MAX_FILE_LINES or place in LONG_FILES, f'{place} has {len(source)} lines'
    for function in functions(ast.parse(text)):
        where = f'{place}:{function.name}'
        assert code_lines(function) <= MAX_FUNCTION_LINES or where in LONG_FUNCTIONS, (
            f'{where}: {code_lines(function)} lines'
        )
        arguments = function.args
        names = [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([name for name in names if name not in ('self', 'cls')])
        assert count <= MAX_PARAMETERS or is_marked(source, function), f'{where}: {count} parameters'


@each_file
def test_names_say_what_is_inside(file: Path) -> None:
    assert file.name not in FORBIDDEN_NAMES


def test_exceptions_are_still_needed() -> None:
    for place in LONG_FILES:
        assert len((ROOT / place).read_text().splitlines()) > MAX_FILE_LINES, (
            f'{place} fits the budget: remove the exception'
        )
    for where in LONG_FUNCTIONS:
        place, _, name = where.rpartition(':')
        found = [item for item in functions(ast.parse((ROOT / place).read_text())) if item.name == name]
        assert any(code_lines(item) > MAX_FUNCTION_LINES for item in found), f'{where} fits the budget'
