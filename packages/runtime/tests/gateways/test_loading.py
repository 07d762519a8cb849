"""From ``uses`` to a gateway: forms, precedence, messages."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from jina.core.config import GatewayOptions, build
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError, ConfigSourceError, JinaError, NotSupportedError
from jina.runtime.gateways.base import Gateway
from jina.runtime.gateways.loading import GatewayDefinition, find_gateway

MODULE = """
from jina import Gateway


class FileGateway(Gateway):
    def __init__(self, arg1: str = '', arg2: str = '', **kwargs):
        super().__init__(**kwargs)
        self.args = arg1, arg2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / 'file_gateway.py').write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class WordGateway(Gateway):
    def __init__(self, word: str = '', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word = word


def find(**values: Any) -> tuple[GatewayDefinition, GatewayOptions]:
    return find_gateway(build(GatewayOptions, values))


@pytest.mark.parametrize(
    'uses',
    [
        WordGateway,
        'WordGateway',
        f'{__name__}.WordGateway',
        {'jtype': 'WordGateway'},
        '!WordGateway\nwith: {}',
        'jtype: WordGateway',
        '{"jtype": "WordGateway"}',
    ],
)
def test_forms_of_uses(uses: Any) -> None:
    definition, options = find(uses=uses, uses_with={'word': 'x'})
    assert definition.gateway_class is WordGateway
    assert (definition.arguments, options.protocol) == ({'word': 'x'}, [ProtocolType.GRPC])


def test_document(folder: Path) -> None:
    (folder / 'config.yml').write_text(
        textwrap.dedent("""\
            !FileGateway
            py_modules: file_gateway.py
            with: {arg1: hello, arg2: world}
            port: 12345
            protocol: http
            prefetch: 7
        """)
    )
    definition, options = find(uses='config.yml', uses_with={'arg2': 'you'}, prefetch=9)
    assert definition.gateway_class.__name__ == 'FileGateway'
    assert definition.arguments == {'arg1': 'hello', 'arg2': 'you'}
    assert (options.port, options.protocol) == ([12345], [ProtocolType.HTTP])
    assert options.prefetch == 9  # what the caller has set wins
    gateway: Any = Gateway.load_config('config.yml', uses_with={'arg1': 'bye'})
    assert gateway.args == ('bye', 'world')
    assert (gateway.port, gateway.host, list(gateway.executor)) == (12345, '0.0.0.0', [])
    gateway.save_config('saved.yml')
    again: Any = Gateway.load_config('saved.yml')
    assert (again.args, again.ports, again.runtime_args.prefetch) == (('bye', 'world'), [12345], 7)


def test_files_may_be_listed_and_given_by_the_caller(folder: Path) -> None:
    definition, _ = find(uses={'jtype': 'FileGateway', 'py_modules': ['file_gateway.py']})
    assert definition.gateway_class.__name__ == 'FileGateway'
    definition, _ = find(uses='FileGateway', py_modules='file_gateway.py')
    assert definition.py_modules == ('file_gateway.py',)
    sub = folder / 'sub'
    sub.mkdir()
    (sub / 'g.yml').write_text('jtype: FileGateway\npy_modules: ../file_gateway.py\n')
    definition, _ = find(uses='g.yml', extra_search_paths=[str(sub)])
    assert definition.gateway_class.__name__ == 'FileGateway'


@pytest.mark.parametrize(
    ('name', 'protocol'),
    [
        ('HTTPGateway', ProtocolType.HTTP),
        ('GRPCGateway', ProtocolType.GRPC),
        ('WebSocketGateway', ProtocolType.WEBSOCKET),
        ('CompositeGateway', ProtocolType.GRPC),
        ('jina.serve.runtimes.gateway.websocket.WebSocketGateway', ProtocolType.WEBSOCKET),
    ],
)
def test_the_class_says_the_protocol(name: str, protocol: ProtocolType) -> None:
    assert find(uses=name)[1].protocol == [protocol]


@pytest.mark.parametrize(
    ('document', 'kind', 'message'),
    [
        ('jtype: Nobody\n', ConfigSourceError, r"g.yml:1: jtype: there is no gateway class 'Nobody'; name the file"),
        (
            'jtype: WordGatway\n',
            ConfigSourceError,
            "there is no gateway class 'WordGatway'; did you mean 'WordGateway'",
        ),
        (
            'jtype: Executor\n',
            ConfigError,
            "g.yml:1: jtype: 'Executor' is no gateway; derive the class from jina.Gateway",
        ),
        ('with: {}\n', ConfigError, 'g.yml:1: jtype is None; name the gateway class: jtype: MyGateway'),
        (
            'jtype: WordGateway\nprt: 1\n',
            ConfigError,
            "g.yml:2: prt: 'prt' is no key of a gateway; did you mean 'port'",
        ),
        ('jtype: WordGateway\nport: x\n', ConfigError, r"g.yml:2: port: 'x' is not valid"),
        ('jtype: WordGateway\nprefetch: -1\n', ConfigError, r'g.yml:2: prefetch: -1 is not valid; give 0 or more'),
        (
            'jtype: WordGateway\nreplicas: 2\n',
            ConfigError,
            'g.yml:2: replicas: replicas is an option of who starts the gateway',
        ),
        ('jtype: WordGateway\nport: [1, 2]\n', ConfigError, r'g.yml: port \[1, 2\] and protocol GRPC differ in number'),
        ('jtype: WordGateway\nwith: 7\n', ConfigError, 'g.yml:2: with: with is 7; write with as a mapping'),
        ('jtype: WordGateway\npy_modules: no.py\n', ConfigSourceError, r"g.yml:2: py_modules: can not find 'no.py'"),
        (
            'jtype: WordGateway\npy_modules: bad.py\n',
            ConfigError,
            r'g.yml:2: py_modules: the import of .*: ZeroDivisionError',
        ),
        ('jtype: HTTPGateway\nprotocol: grpc\n', ConfigError, "HTTPGateway speaks http, and its protocol is 'grpc'"),
    ],
)
def test_messages(folder: Path, document: str, kind: type[JinaError], message: str) -> None:
    (folder / 'bad.py').write_text('1 / 0\n')
    (folder / 'g.yml').write_text(document)
    with pytest.raises(kind, match=message):
        find(uses='g.yml')


def test_arguments_that_nobody_takes_are_named_with_their_place(folder: Path) -> None:
    (folder / 'g.yml').write_text('jtype: WordGateway\nwith:\n  wrod: 1\n')
    with pytest.raises(
        ConfigError, match=r"g.yml:3: with.wrod: WordGateway.__init__ takes no argument 'wrod'; did you mean 'word'"
    ):
        Gateway.load_config('g.yml')
    with pytest.raises(ConfigError, match='runtime_args can not be an argument of WordGateway'):
        Gateway.load_config('WordGateway', uses_with={'runtime_args': {}})
    with pytest.raises(ConfigError, match="'WordGateway' is not a kind of Other"):
        type('Other', (Gateway,), {}).load_config('WordGateway')


@pytest.mark.parametrize(
    ('uses', 'message'),
    [
        ('docker://gateway-image', 'is a container image, and no gateway that a process could load; a Flow starts it'),
        ('jinaai://jina-ai/Gateway', 'is a gateway of the hub, which this version can not fetch'),
    ],
)
def test_a_process_loads_no_image(uses: str, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        find(uses=uses)
