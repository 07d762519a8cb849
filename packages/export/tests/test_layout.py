from __future__ import annotations

import itertools
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from jina.export.layout import Layout, lay_out

Sizes = dict[str, tuple[float, float]]
Edges = list[tuple[str, str]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Sizes, Edges]:
    names = [f'n{index}' for index in range(draw(st.integers(1, 14)))]
    extent = st.integers(20, 200).map(float)
    sizes = {name: (draw(extent), draw(extent)) for name in names}
    edges = []
    for index, name in enumerate(names):
        for other in draw(st.lists(st.sampled_from(names[:index] or [name]), max_size=3, unique=True)):
            if other != name:
                edges.append((other, name))
    return {name: sizes[name] for name in draw(st.permutations(names))}, edges


@settings(deadline=None, max_examples=80)
@given(graphs())
def test_boxes_and_lines_keep_their_distance(graph: tuple[Sizes, Edges]) -> None:
    sizes, edges = graph
    layout = lay_out(sizes, edges)
    boxes = {}
    for name, (main, cross) in layout.centres.items():
        width, height = sizes[name]
        boxes[name] = (main - width / 2, main + width / 2, cross - height / 2, cross + height / 2)
    for left, right, low, high in boxes.values():
        assert left >= -0.01 and right <= layout.size[0] + 0.01
        assert low >= -0.01 and high <= layout.size[1] + 0.01
    for (_, first), (_, second) in itertools.combinations(boxes.items(), 2):
        assert apart(first[:2], second[:2], 50) or apart(first[2:], second[2:], 23.9)
    for (start, end), stretches in layout.lines.items():
        assert stretches[0][0] == (boxes[start][1], layout.centres[start][1])
        assert stretches[-1][1] == (boxes[end][0], layout.centres[end][1])
        for (_, (left, _)), ((right, _), _) in itertools.pairwise(stretches):  # where it bends there is no box
            assert all(apart((left, right), box[:2], -0.01) for box in boxes.values())
        mains = [round(point[0], 6) for stretch in stretches for point in stretch]
        assert mains == sorted(mains)
        for (left, level), (right, _) in stretches[1:-1]:
            for name, box in boxes.items():
                assert apart((left, right), box[:2], -0.01) or apart((level, level), box[2:], 11.9), name


def apart(first: tuple[float, float], second: tuple[float, float], distance: float) -> bool:
    return first[1] + distance <= second[0] or second[1] + distance <= first[0]


def levels(layout: Layout, *names: str) -> list[float]:
    return [round(layout.centres[name][1], 3) for name in names]


def test_a_chain_is_straight_and_a_diamond_symmetric() -> None:
    sizes = {name: (50.0, height) for name, height in zip('abcd', (30.0, 90.0, 30.0, 60.0), strict=True)}
    assert len(set(levels(lay_out(sizes, [('a', 'b'), ('b', 'c'), ('c', 'd')]), *'abcd'))) == 1
    a, b, c, d = levels(lay_out(sizes, [('a', 'b'), ('a', 'c'), ('b', 'd'), ('c', 'd')]), *'abcd')
    assert a == d
    assert b < a < c


def test_lines_do_not_cross_without_need() -> None:
    sizes = {name: (50.0, 30.0) for name in 'abcdef'}
    layout = lay_out(sizes, [('a', 'f'), ('b', 'e'), ('c', 'd')])
    a, b, c = levels(layout, *'abc')
    d, e, f = levels(layout, *'def')
    assert (a < b) == (f < e) and (b < c) == (e < d) and (a < c) == (f < d)


def test_a_line_that_passes_others_is_level() -> None:
    sizes = {name: (50.0, 30.0) for name in 'abcde'}
    chain = list(itertools.pairwise('abcde'))
    stretches = lay_out(sizes, [*chain, ('a', 'e')]).lines['a', 'e']
    assert len(stretches) == 5
    assert len({point[1] for stretch in stretches[1:-1] for point in stretch}) == 1


def test_nothing_to_lay_out() -> None:
    assert lay_out({}, []) == Layout({}, {}, (0.0, 0.0))


def test_200_boxes_take_a_moment() -> None:
    names = [f'n{index}' for index in range(200)]
    edges = [(names[other], name) for index, name in enumerate(names) for other in range(max(0, index - 3), index)]
    start = time.process_time()
    lay_out({name: (90.0, 50.0) for name in names}, edges)
    assert time.process_time() - start < 5
