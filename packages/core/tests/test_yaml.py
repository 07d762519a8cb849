"""Reading and writing of YAML documents."""

from __future__ import annotations

import enum
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jina.core.errors import ConfigError, ConfigSourceError, NotSupportedError, YamlVersionError
from jina.core.yaml import (
    LoadedYaml,
    LoadOverrides,
    YamlObject,
    complete_path,
    dump_yaml,
    load_yaml,
    registered_class,
)
from jina.core.yaml.variables import typed

FLOW = """\
jtype: Flow
version: '1'
with:
  port: 12345
executors:
  - name: first
    uses: FooExec
  - name: second
    replicas: 2
"""


def message_of(source: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_yaml(source, **options)
    return str(caught.value)


# --- sources ---------------------------------------------------------------------------------------------------------


def test_file(tmp_path: Path) -> None:
    path = tmp_path / 'flow.yml'
    path.write_text(FLOW)
    loaded = load_yaml(str(path))
    assert loaded.data['executors'][1] == {'name': 'second', 'replicas': 2}
    assert (loaded.path, loaded.directory) == (path.resolve(), tmp_path.resolve())
    assert load_yaml(path).data == loaded.data


def test_file_in_the_working_directory_and_in_extra_search_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'here').mkdir()
    (tmp_path / 'there').mkdir()
    (tmp_path / 'here' / 'a.yml').write_text('x: here')
    (tmp_path / 'there' / 'a.yml').write_text('x: there')
    (tmp_path / 'there' / 'b.yaml').write_text('x: there')
    monkeypatch.chdir(tmp_path / 'here')
    assert load_yaml('a.yml', extra_search_paths=['../there']).data == {'x': 'here'}
    assert load_yaml('b.yaml', extra_search_paths=['../there']).data == {'x': 'there'}


def test_file_beside_the_calling_script(tmp_path: Path) -> None:
    (tmp_path / 'app').mkdir()
    (tmp_path / 'app' / 'flow.jaml').write_text('x: 1')
    script = tmp_path / 'app' / 'script.py'
    script.write_text("from jina.core.yaml import load_yaml\nprint(load_yaml('flow.jaml').path)\n")
    result = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert Path(result.stdout.strip()) == (tmp_path / 'app' / 'flow.jaml').resolve()


def test_file_in_a_directory_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'on-path.yml').write_text('x: 1')
    monkeypatch.setenv('PATH', str(tmp_path))
    assert complete_path('on-path.yml') == (tmp_path / 'on-path.yml').resolve()


def test_missing_file_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'flow.yml').write_text('x: 1')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        load_yaml('flwo.yml', extra_search_paths=['nowhere'])
    assert isinstance(caught.value, ConfigSourceError)
    assert str(caught.value) == (
        f"can not find the file 'flwo.yml' (did you mean 'flow.yml'?); searched in {tmp_path}, nowhere"
    )


@pytest.mark.parametrize('source', ['', '  \n ', io.StringIO(''), io.BytesIO(b'\n')])
def test_empty_source(source: Any) -> None:
    with pytest.raises(ConfigSourceError, match='is empty'):
        load_yaml(source)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / 'e.yml').write_text('\n')
    with pytest.raises(ConfigSourceError, match='is empty'):
        load_yaml(tmp_path / 'e.yml')


@pytest.mark.parametrize(
    ('source', 'data'),
    [
        ('jtype: MyExec', {'jtype': 'MyExec'}),
        ('!MyExec', {'jtype': 'MyExec'}),
        ('!MyExec {}', {'jtype': 'MyExec'}),
        ('!MyExec\nwith:\n  a: 1', {'jtype': 'MyExec', 'with': {'a': 1}}),
        ('uses: !MyExec {with: {a: 1}}', {'uses': {'jtype': 'MyExec', 'with': {'a': 1}}}),
        ('{"jtype": "MyExec", "with": {"a": 1}}', {'jtype': 'MyExec', 'with': {'a': 1}}),
        ('{"jtype": "MyExec",\t"with": {"a": 1e3}}', {'jtype': 'MyExec', 'with': {'a': 1000.0}}),
        ('{jtype: MyExec, with: {a: 1}}', {'jtype': 'MyExec', 'with': {'a': 1}}),
        ('version: 1\njtype: MyExec', {'version': 1, 'jtype': 'MyExec'}),
        ('MyExec', {'jtype': 'MyExec'}),
        ('package.module.MyExec', {'jtype': 'package.module.MyExec'}),
        ({'jtype': 'MyExec'}, {'jtype': 'MyExec'}),
        (io.StringIO('jtype: MyExec'), {'jtype': 'MyExec'}),
        (io.BytesIO('jtype: Größe'.encode()), {'jtype': 'Größe'}),
    ],
)
def test_forms_of_a_source(source: Any, data: dict[str, Any]) -> None:
    loaded = load_yaml(source)
    assert loaded.data == data
    assert loaded.path is None


def test_dict_is_copied() -> None:
    given = {'with': {'a': [1]}}
    load_yaml(given).data['with']['a'].append(2)
    assert given == {'with': {'a': [1]}}


def test_stream_of_a_file_knows_its_directory(tmp_path: Path) -> None:
    (tmp_path / 'flow.yml').write_text('x: 1')
    with open(tmp_path / 'flow.yml') as stream:
        assert load_yaml(stream).directory == tmp_path.resolve()


@pytest.mark.parametrize('source', ['ftp://image', 'a b', '???'])
def test_text_that_is_no_source(source: str) -> None:
    assert message_of(source) == (
        f'{source!r} is neither a YAML file, a URL, YAML text nor a class name; paths end with .yml, .yaml, .jaml, .json'
    )


def test_object_that_is_no_source() -> None:
    assert message_of(42) == 'can not load a configuration from 42; give a path, YAML text, a stream, or a dict'


@pytest.fixture
def web_server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == '/flow.yml'
            body = FLOW.encode() if found else b'no'
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()
        thread.join()


def test_url(web_server: str) -> None:
    loaded = load_yaml(f'{web_server}/flow.yml')
    assert loaded.data['jtype'] == 'Flow'
    assert loaded.where('with', 'port') == f'{web_server}/flow.yml:4: with.port'


def test_url_that_is_not_there(web_server: str) -> None:
    with pytest.raises(ConfigSourceError, match=re.escape(f"can not read the configuration '{web_server}/other.yml'")):
        load_yaml(f'{web_server}/other.yml')


# --- parsing ---------------------------------------------------------------------------------------------------------


def test_on_and_off_are_texts() -> None:
    assert load_yaml('on: on\nb: Off\nc: yes\nd: NO\ne: "true"\nf: false\ng: 012\nh: 1_000\n').data == {
        'on': 'on',
        'b': 'Off',
        'c': True,
        'd': False,
        'e': 'true',
        'f': False,
        'g': 10,
        'h': 1000,
    }


def test_anchors_and_merge_keys() -> None:
    text = (
        'base: &base {a: 1, b: 2}\nfirst: &first {<<: *base, b: 3}\nsecond: {<<: *first, c: 4}\nlist: [*base, *first]\n'
    )
    data = load_yaml(text).data
    assert data['second'] == {'a': 1, 'b': 3, 'c': 4}
    assert data['list'] == [{'a': 1, 'b': 2}, {'a': 1, 'b': 3}]


def test_merged_keys_give_way_to_own_and_earlier_ones() -> None:
    text = (
        'one: &one {x: 1, long: 1, only: 1}\ntwo: &two {x: 2, long: 2, <<: *one}\n'
        'three: {<<: [*two, *one], long: 3}\nfour: {<<: [*one, *two], c: 4}\n'
        'five: {<<: {}, a: 1}\n'
    )
    data = load_yaml(text).data
    assert data['two'] == {'x': 2, 'long': 2, 'only': 1}
    assert data['three'] == {'x': 2, 'long': 3, 'only': 1}
    assert data['four'] == {'x': 1, 'long': 1, 'only': 1, 'c': 4}
    assert data['five'] == {'a': 1}
    assert message_of('a: 1\nb: {<<: [1]}\n').startswith('<string>:2: invalid YAML: expected a mapping')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: 1\nb: 2\na: 3\n', "<string>:3: the key 'a' stands on line 1 already"),
        ('w:\n  - x: 1\n    y: 2\n    x: 1\n', "<string>:4: the key 'x' stands on line 2 already"),
        ('{"a": {"b": 1, "b": 2}}', "<string>: the key 'b' stands twice in one object"),
        ('b: 1\na: &x [*x]\n', '<string>:2: the value contains itself'),
        ('a: 1\nb: [\n', '<string>:3: invalid YAML: '),
        ('a: 1\n b: 2\n', '<string>:2: invalid YAML: mapping values are not allowed'),
        ('a: *nope\n', '<string>:1: invalid YAML: found undefined alias'),
        ('a: !Exec [1]\n', '<string>:1: invalid YAML: the tag !Exec needs a mapping'),
        ('a: !Exec {jtype: Other}\n', '<string>:1: invalid YAML: the tag !Exec contradicts jtype: Other'),
        ('a: 1\nb: !!python/name:os.system x\n', '<string>:2: invalid YAML: could not determine a constructor'),
        ('a: 1\n---\nb: 2\n', '<string>:2: invalid YAML: but found another document'),
        ('- a\n- b\n', "<string>: the document is list ['a', 'b']; it must be a mapping"),
        ('1: x\nb: 2\n', '<string>: the key 1 is not a string; put it into quotes'),
        ('a: "\x00"\nb: 1\n', '<string>'),
    ],
)
def test_wrong_documents_name_file_and_line(text: str, message: str) -> None:
    assert message_of(text).startswith(message)


def test_where_gives_file_line_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path('flow.yml').write_text(FLOW)
    loaded = load_yaml('flow.yml')
    assert loaded.where('executors', 1, 'replicas') == 'flow.yml:9: executors[1].replicas'
    assert loaded.where('executors', 1, 'absent') == 'flow.yml:8: executors[1].absent'
    assert loaded.where('executors', 7) == 'flow.yml:5: executors[7]'
    assert loaded.where() == 'flow.yml:1'
    assert LoadedYaml({'a': 1}).where('a') == '<dict>: a'


# --- variables -------------------------------------------------------------------------------------------------------


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {'NUMBER': '12', 'TEXT': 'abc', 'TRUTH': 'true', 'LIST': '[1, 2]', 'EMPTY': ''}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv('ABSENT', raising=False)


CONTEXT = {'count': 5, 'items': [1, {'k': 'v'}], 'nested': {'deep-er': 'x'}, 'none': None, 'VAR_A': 'name'}


@pytest.mark.usefixtures('variables')
@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('${{ ENV.NUMBER }}', 12),
        ('${{ env.NUMBER }}', 12),
        ('${{ENV.NUMBER}}', 12),
        ('${{ ENV.TEXT }}', 'abc'),
        ('${{ ENV.TRUTH }}', True),
        ('${{ ENV.LIST }}', [1, 2]),
        ('${{ ENV.EMPTY }}', None),
        ('pre-${{ ENV.NUMBER }}-${{ ENV.EMPTY }}-${{ ENV.TEXT }}', 'pre-12--abc'),
        ('${{ CONTEXT.count }}', 5),
        ('${{ context.count }}', 5),
        ('${{ count }}', 5),
        ('${{VAR_A}}', 'name'),
        ('${{ CONTEXT.items }}', [1, {'k': 'v'}]),
        ('${{ CONTEXT.items[1].k }}', 'v'),
        ('${{ nested.deep-er }}', 'x'),
        ('${{ CONTEXT.none }}', None),
        ('n${{ CONTEXT.none }}', 'n'),
        ('${{root.with.port}}', 8080),
        ('${{root.list[1].x}}', 'y'),
        ('http://h:${{root.with.port}}/', 'http://h:8080/'),
        ('${{root.chain}}', 12),
        ('costs $5 or $', 'costs $5 or $'),
        ('$ABSENT ${ABSENT}', '$ABSENT ${ABSENT}'),
        ('{"$eq": 1}', '{"$eq": 1}'),
    ],
)
def test_variables(value: str, expected: object) -> None:
    data = {
        'with': {'port': 8080},
        'list': [0, {'x': 'y'}],
        'chain': '${{root.link}}',
        'link': '${{ ENV.NUMBER }}',
        'v': value,
    }
    assert load_yaml(data, context=CONTEXT).data['v'] == expected


def test_this_is_the_enclosing_mapping() -> None:
    text = 'metas:\n  name: ${{VAR_A}}\n  workspace: my-${{this.name}}\n  list: ["${{this.name}}"]\n'
    assert load_yaml(text, context=CONTEXT).data['metas'] == {
        'name': 'name',
        'workspace': 'my-name',
        'list': ['name'],
    }


def test_keys_are_never_touched() -> None:
    data = {'when': {'$eq': 5, '${{ ENV.X }}': 1}}
    assert load_yaml(data).data == data


def test_text_of_a_variable_is_not_scanned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TRICK', '${{ ENV.HOME }}')
    assert load_yaml({'a': '${{ ENV.TRICK }}'}).data == {'a': '${{ ENV.HOME }}'}


def test_substitution_can_be_switched_off() -> None:
    assert load_yaml('a: ${{ ENV.NOPE }}', substitute=False).data == {'a': '${{ ENV.NOPE }}'}


@pytest.mark.usefixtures('variables')
@pytest.mark.parametrize('form', ['$NUMBER', '${NUMBER}'])
def test_old_form_of_environment_variables_is_deprecated(form: str) -> None:
    with pytest.warns(DeprecationWarning, match=re.escape(f'<string>:2: b: {form} is a deprecated form')):
        loaded = load_yaml(f'a: 1\nb: {form}\n')
    assert loaded.data == {'a': 1, 'b': 12}


@pytest.mark.usefixtures('variables')
@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('${{ ENV.NUMBRE }}', "environment variable 'NUMBRE' is not set; did you mean 'NUMBER'?"),
        ('${{ CONTEXT.coutn }}', "the context has no 'coutn'; did you mean 'count'?"),
        ('${{ TEXT }}', "the context has no 'TEXT'; for the environment variable write ${{ ENV.TEXT }}"),
        ('${{ CONTEXT.items[9] }}', "the context has no 'items[9]'"),
        ('${{root.wiht.port}}', "the document has no root.wiht.port; did you mean 'with'?"),
        ('${{this.absent}}', 'the document has no this.absent'),
        ('${{ ENV.A || 1 }}', '${{ ENV.A || 1 }} is no variable; write ${{ ENV.NAME }}, ${{ CONTEXT.name }}, '),
        ('${{ }}', '${{  }} is no variable'),
        ('${{ ENV.NUMBER', '${{ is not closed; write ${{ ENV.NAME }}'),
        ('${{this.value}}', 'variables refer to each other in a circle'),
        ('${{root.with}}', 'variables refer to each other in a circle: with'),
        ('${{root.circle}}', 'variables refer to each other in a circle: circle → elcric'),
    ],
)
def test_wrong_variables_name_file_line_and_nearest_name(tmp_path: Path, value: str, message: str) -> None:
    path = tmp_path / 'f.yml'
    path.write_text(
        f"with:\n  port: 1\n  value: '{value}'\ncircle: ${{{{root.elcric}}}}\nelcric: ${{{{root.circle}}}}\n"
    )
    found = message_of(path, context=CONTEXT)
    assert found.startswith(f'{path}:')
    assert re.match(r'.*:[345]: (with\.value|circle|elcric): ', found), found
    assert message in found


@given(st.text(alphabet=st.characters(blacklist_characters='\x00', blacklist_categories=('Cs',))))
def test_reading_the_text_of_a_variable_loses_nothing(text: str) -> None:
    value = typed(text)
    if isinstance(value, bool):
        assert str(value).lower() == text.lower()
    elif isinstance(value, (int, float)):
        assert str(value) == text
    elif value is None:
        assert text == ''


@pytest.mark.parametrize(
    'text', ['007', '1_000', '1e5', '1.50', 'nan', 'inf', '-0', '[1', '{a: 1}', '0x10', ' 1', '２']
)
def test_texts_that_only_look_like_numbers_stay_texts(text: str) -> None:
    assert typed(text) == text


names = st.from_regex(r'[A-Za-z_][A-Za-z0-9_]{0,8}', fullmatch=True)
plain_text = st.text(alphabet=st.characters(blacklist_characters='$\x00', blacklist_categories=('Cs',)), max_size=20)


@given(st.dictionaries(names, st.integers() | plain_text | st.lists(st.integers()), min_size=1), st.data())
def test_whole_variables_keep_the_object_and_embedded_ones_its_text(
    context: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(context)))
    before, after = data.draw(plain_text), data.draw(plain_text)
    document = {'whole': f'${{{{ CONTEXT.{name} }}}}', 'part': f'{before}-${{{{ CONTEXT.{name} }}}}-{after}'}
    assert load_yaml(document, context=context).data == {
        'whole': context[name],
        'part': f'{before}-{context[name]}-{after}',
    }


@given(
    st.recursive(
        plain_text | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(plain_text, inner)
    )
)
def test_documents_without_variables_stay_as_they_are(value: Any) -> None:
    assert load_yaml({'value': value}).data == {'value': value}


@given(st.dictionaries(names, st.integers(), min_size=1), st.integers(0, 5))
def test_references_reach_any_depth(values: dict[str, int], depth: int) -> None:
    name = sorted(values)[0]
    nested: Any = values
    path = ''
    for level in range(depth):
        nested = [nested] if level % 2 else {'k': nested}
        path = ('[0]' if level % 2 else '.k') + path
    data = {'start': nested, 'value': f'${{{{root.start{path}.{name}}}}}'}
    assert load_yaml(data).data['value'] == values[name]


# --- writing ---------------------------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(blacklist_categories=('Cs',)))
    | st.sampled_from(
        ['on', 'off', 'yes', 'No', 'null', '~', '1', '1.0', '012', '1e3', '2001-01-01', '!x', '<<', '=', ' ', '']
    )
    | st.binary(max_size=20)
    | st.dates()
)
keys = st.text(alphabet=st.characters(blacklist_categories=('Cs',)), max_size=10) | st.sampled_from(
    ['on', 'yes', '<<', '1']
)
documents = st.dictionaries(
    keys,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    ),
)


@settings(max_examples=300, deadline=None)
@given(documents)
def test_what_is_written_is_read_again(document: dict[str, Any]) -> None:
    text = dump_yaml(document)
    assert load_yaml(io.StringIO(text), substitute=False).data == document


def test_written_form() -> None:
    class Color(enum.Enum):
        RED = 1

    class Text(str):
        __slots__ = ()

    document = {
        'jtype': 'Flow',
        'with': {'port': 12345, 'protocol': Color.RED, 'path': Path('/tmp/x'), 'name': Text('n')},
        'executors': [{'uses': dict, 'needs': ('a', 'b')}, {'on': 'on', 'when': None, 'tags': {'b', 'a'}}],
        'text': 'first\nsecond\n',
        'empty': {},
        'day': date(2026, 1, 2),
    }
    assert dump_yaml(document) == (
        'jtype: Flow\n'
        'with:\n'
        '  port: 12345\n'
        '  protocol: RED\n'
        '  path: /tmp/x\n'
        '  name: n\n'
        'executors:\n'
        '  - uses: builtins.dict\n'
        '    needs:\n'
        '      - a\n'
        '      - b\n'
        "  - 'on': 'on'\n"
        '    when: null\n'
        '    tags:\n'
        '      - a\n'
        '      - b\n'
        'text: |\n'
        '  first\n'
        '  second\n'
        'empty: {}\n'
        'day: 2026-01-02\n'
    )


def test_values_without_yaml_form() -> None:
    with pytest.raises(ConfigError) as caught:
        dump_yaml({'with': {'a': [object]}, 'x': [1, {'y': lambda: 0}]})
    assert re.fullmatch(
        r'x\[1\]\.y is function <function .*>, which has no YAML form; use texts, numbers, lists and dicts',
        str(caught.value),
    )
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ConfigError, match=r'a\[0\] contains itself'):
        dump_yaml({'a': loop})


# --- objects ---------------------------------------------------------------------------------------------------------


class Pipe(YamlObject):
    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    @classmethod
    def from_config(cls, loaded: LoadedYaml, overrides: LoadOverrides) -> Pipe:
        made = cls(**{**(loaded.data.get('with') or {}), **overrides.arguments})
        made.overrides = overrides  # type: ignore[attr-defined]
        return made

    def to_config(self) -> dict[str, Any]:
        return {'jtype': type(self).__name__, 'version': '1', 'with': self.arguments}


class SpecialPipe(Pipe):
    pass


class Bare(YamlObject):
    pass


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / 'pipe.yml'
    Pipe(port=1, name='on').save_config(path)
    again = Pipe.load_config(str(path))
    assert again.arguments == {'port': 1, 'name': 'on'}
    assert again.config_path == path.resolve()
    again.arguments['port'] = 2
    again.save_config()
    assert Pipe.load_config(path).arguments['port'] == 2


def test_subclass_is_found_by_its_name() -> None:
    assert type(Pipe.load_config('jtype: SpecialPipe')) is SpecialPipe
    assert type(SpecialPipe.load_config('with: {}')) is SpecialPipe
    assert registered_class('SpecialPipe') is SpecialPipe


def test_overrides_reach_the_class() -> None:
    made = Pipe.load_config(
        'jtype: Pipe\nwith: {a: "${{ x }}", b: 2}', context={'x': 1}, needs='gateway', py_modules='a.py', b=3
    )
    assert made.arguments == {'a': 1, 'b': 3}
    overrides = made.overrides  # type: ignore[attr-defined]
    assert (overrides.needs, overrides.py_modules, overrides.include_gateway) == (('gateway',), ('a.py',), True)


@pytest.mark.parametrize(
    ('kind', 'text', 'message'),
    [
        (
            SpecialPipe,
            'a: 1\njtype: Pipe',
            "<string>:2: jtype: 'Pipe' is not a kind of SpecialPipe; call Pipe.load_config, "
            'or give a document with jtype: SpecialPipe',
        ),
        (
            Pipe,
            'jtype: SpecialPip',
            "<string>:1: jtype: there is no class 'SpecialPip' that is a Pipe (did you mean 'SpecialPipe'?); "
            'write jtype: Pipe',
        ),
        (Pipe, 'jtype: [1]', '<string>:1: jtype: [1] is not the name of a class'),
        (Pipe, "jtype: Pipe\nversion: '9'", "<string>:2: version: '9' is no known version; write version: '1'"),
    ],
)
def test_wrong_objects(kind: type[YamlObject], text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind.load_config(text)
    assert str(caught.value) == message


def test_versions() -> None:
    with pytest.raises(YamlVersionError):
        Pipe.load_config('jtype: Pipe\nversion: 2')
    with pytest.warns(UserWarning, match="'1.5' is read as version 1"):
        Pipe.load_config('jtype: Pipe\nversion: 1.5')
    Pipe.load_config('jtype: Pipe\nversion: 1')


def test_class_without_yaml_form(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match=r'define Bare.from_config\(\)'):
        Bare.load_config('jtype: Bare')
    with pytest.raises(NotSupportedError, match=r'define Bare.to_config\(\)'):
        Bare().save_config(tmp_path / 'x.yml')
    with pytest.raises(ConfigError, match='does not know where to write'):
        Pipe().save_config()


def test_user_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    Pipe(a=1).save_config('~/p.yml')
    assert os.listdir(tmp_path) == ['p.yml']
    assert Pipe.load_config('~/p.yml').arguments == {'a': 1}
