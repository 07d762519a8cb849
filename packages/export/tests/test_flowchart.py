from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jina.core.errors import MissingDeploymentError, NotSupportedError
from jina.export.flowchart import export_flowchart, picture

SVG = '{http://www.w3.org/2000/svg}'
FLOW = """
jtype: Flow
with: {name: 'search & <find>'}
executors:
  - {name: encoder, uses: Encoder, replicas: 3}
  - {name: shards, uses: Indexer, shards: 2, replicas: 2}
  - {name: image, needs: encoder, when: {url: {$exists: true}, price: {$in: [1, 2, 3, 4, 5, 6, 7, 8, 9]}, text: {$regex: long}}}
  - {name: remote, needs: encoder, external: true, host: [a, b], port: [1, 2]}
  - {name: join, needs: [shards, image, remote], no_reduce: true}
  - {name: log, needs: encoder, floating: true}
  - {name: logs, needs: log, floating: true}
  - {name: look, method: inspect}
"""


def texts(svg: str) -> list[str]:
    """What is to be read, without the tooltips."""
    return [str(node[0].tail if len(node) else node.text) for node in ElementTree.fromstring(svg).iter(f'{SVG}text')]


def lines(svg: str) -> list[bool]:
    """For each line whether it is dashed."""
    paths = [node for node in ElementTree.fromstring(svg).iter(f'{SVG}path') if 'marker-end' in node.attrib]
    return ['stroke-dasharray' in node.attrib for node in paths]


def test_everything_is_shown() -> None:
    svg = picture(FLOW).svg
    shown = texts(svg)
    assert shown.count('gateway') == 2
    for text in (
        'search & <find>',
        'encoder',
        '3 replicas',
        '2 shards × 2 replicas',
        'external, 2 replicas',
        'Indexer',
    ):
        assert text in shown
    assert {'no_reduce', 'floating', 'inspects', 'when url: $exists: true, price: $in:'} <= set(shown)
    cut = next(node for node in ElementTree.fromstring(svg).iter(f'{SVG}title') if node.text)
    assert 'text: $regex: long' in str(cut.text)
    # To the floating ones, their chain, the inspecting one, and from that to the end.
    assert sorted(lines(svg)) == [False] * 8 + [True] * 4
    rectangles = list(ElementTree.fromstring(svg).iter(f'{SVG}rect'))
    assert len(rectangles) == 1 + 2 + 8 + 2 + 2 + 1  # background, gateway, Executors, further replicas
    assert sum('stroke-dasharray' in node.attrib for node in rectangles) == 2


def test_floating_executors_do_not_lead_back() -> None:
    svg = picture('jtype: Flow\nexecutors: [{name: a}, {name: m, floating: true}, {name: b, needs: m}]').svg
    assert 'floating' not in texts(svg)  # b lifts it
    assert lines(svg) == [False] * 4
    svg = picture('jtype: Flow\nexecutors: [{name: a}, {name: m, floating: true}, {name: b}]').svg
    assert sorted(lines(svg)) == [False] * 3 + [True]
    svg = picture('jtype: Flow\nexecutors: [{name: e1}, {needs: e1}, {needs: e1}]').svg
    assert lines(svg) == [False] * 4  # nobody takes the results of executor1
    assert 'floating' not in texts(svg)


def test_ends_and_directions() -> None:
    open_ends = picture('jtype: Flow\nexecutors: [{name: a}]', build=False)
    assert texts(open_ends.svg).count('gateway') == 1
    wide, high = picture(FLOW).scene, picture(FLOW, vertical_layout=True).scene
    assert wide.width > wide.height
    assert high.height > high.width
    empty = picture('jtype: Flow')
    assert (texts(empty.svg), lines(empty.svg)) == (['gateway', 'gateway'], [False])
    assert empty._repr_svg_() == empty.svg


def test_files(tmp_path: Path) -> None:
    source = tmp_path / 'flow.yml'
    source.write_text(FLOW)
    drawn = picture(FLOW)
    assert export_flowchart(source, tmp_path / 'out.svg').read_text() == drawn.svg
    assert export_flowchart(source, tmp_path / 'OUT.SVG').read_text() == drawn.svg
    assert export_flowchart(FLOW, tmp_path / 'out.mmd').read_text() == drawn.mermaid
    fenced = export_flowchart(drawn.graph, tmp_path / 'out.md').read_text()
    assert fenced == f'```mermaid\n{drawn.mermaid}```\n'
    with pytest.raises(NotSupportedError) as caught:
        export_flowchart(FLOW, tmp_path / 'out.pdf')
    assert str(caught.value) == (
        "a flowchart can not be written as 'out.pdf'; choose a name that ends with .svg, .png, .mmd, .mermaid, .txt, .md"
    )
    with pytest.raises(MissingDeploymentError, match='encodr'):
        export_flowchart('jtype: Flow\nexecutors: [{name: encoder}, {needs: encodr}]', tmp_path / 'bad.svg')
    assert not (tmp_path / 'bad.svg').exists()


def test_png(tmp_path: Path) -> None:
    image = pytest.importorskip('PIL.Image')
    written = export_flowchart(FLOW, tmp_path / 'out.png')
    scene = picture(FLOW).scene
    with image.open(written) as opened:
        assert opened.format == 'PNG'
        assert opened.size == (round(scene.width * 2), round(scene.height * 2))
        colours = {colour for _, colour in opened.convert('RGB').getcolors(1 << 20)}
    for colour in ('#e3f5f4', '#fff6e0', '#4a545b', '#0a8f8f', '#5f6b73'):
        assert tuple(bytes.fromhex(colour[1:])) in colours, colour
    long = 'jtype: Flow\nexecutors: [' + ', '.join('{}' for _ in range(120)) + ']'
    with image.open(export_flowchart(long, tmp_path / 'long.png')) as opened:
        assert opened.size[0] > 3000
    export_flowchart('jtype: Flow\nwith: {name: 検索}', tmp_path / 'wide.png')


def test_png_without_pillow_says_what_to_install(tmp_path: Path) -> None:
    program = (
        'import sys; sys.modules["PIL"] = None\nfrom jina.export.flowchart import export_flowchart\n'
        'export_flowchart("jtype: Flow", "out.svg")\nexport_flowchart("jtype: Flow", "out.png")'
    )
    done = subprocess.run([sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert 'the writer of PNG files is not installed; run: pip install "jina-export[png]"' in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['out.svg']


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serves a folder."""
    (tmp_path / 'flow.yml').write_text(FLOW)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}/flow.yml'
        server.shutdown()
        thread.join()


def test_flow_at_a_url(address: str) -> None:
    assert picture(address).svg == picture(FLOW).svg
