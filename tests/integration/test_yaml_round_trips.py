"""Whatever can be said in Python is saved as YAML that loads to the same, and that the JSON Schema accepts."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import jsonschema
import pytest
import yaml
from docarray import DocList
from docarray.documents import TextDoc
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jina import Deployment, Executor, Flow, dynamic_batching, requests
from jina.core.config import DeploymentOptions, FlowOptions, GatewayOptions, Options, option_info
from jina.core.config.flow import NOT_FOR_EXECUTORS, NOT_FOR_GATEWAY
from jina.core.config.protection import PUBLIC_OPTIONS
from jina.core.errors import ConfigError
from jina.export.schema import json_schema
from jina.orchestrate import launcher

EXAMPLES = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking whole Flows takes minutes
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# Texts that YAML could take for something else are among them; a dollar sign is a variable in YAML.
TEXT = st.one_of(
    st.sampled_from(
        [
            'on',
            'off',
            'yes',
            'null',
            '1',
            '1.0',
            '1e3',
            '0x1',
            '~',
            'a: b',
            '- a',
            '#',
            '"',
            "'",
            'é\u2028',
            '2020-01-01',
        ]
    ),
    st.text(st.characters(exclude_categories=['Cs', 'Cc'], exclude_characters='$'), min_size=1, max_size=20),
)
SCALAR = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), TEXT, st.floats(allow_nan=False, allow_infinity=False))
VALUE = st.recursive(
    SCALAR, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3))
)
MAPPING = st.dictionaries(TEXT, VALUE, min_size=1, max_size=3)
NAME = st.from_regex(r'[a-z][a-z0-9_]{0,8}', fullmatch=True).filter(lambda name: name != 'gateway')
VALIDATOR = jsonschema.Draft7Validator(json_schema())
GRAPH = frozenset(
    {'graph_description', 'graph_conditions', 'graph_merge_order', 'deployments_addresses', 'deployments_metadata'}
)
SPECIAL = {
    'port': st.lists(st.integers(0, 65535), min_size=1, max_size=1),
    **{name: st.integers(0, 65535) for name in ('port_monitoring', 'traces_exporter_port', 'metrics_exporter_port')},
    'protocol': st.sampled_from(['grpc', ['HTTP'], 'websocket', ['GRPC']]),
    'uses': st.sampled_from(['MyExec', 'folder/executor.yml', {'jtype': 'MyExec', 'with': {'a': 1}}]),
    'host': st.sampled_from(['0.0.0.0', '127.0.0.1']),
    'uses_dynamic_batching': st.just({'/default': {'preferred_batch_size': 8, 'timeout': 5}}),
    'uses_requests': st.dictionaries(st.sampled_from(['/a', '/b']), NAME, min_size=1),
    'polling': st.sampled_from(['ANY', 'ALL', {'/custom': 'ALL', '*': 'ANY'}]),
    'compression': st.sampled_from(['gzip', 'Deflate', 'NoCompression']),
    'log_config': st.sampled_from(['plain', 'json', 'quiet']),
    'timeout_send': st.integers(-1, 10**6),
    'when': st.just({'tags__key': {'$eq': 5}}),
    'env': st.dictionaries(NAME.map(str.upper), SCALAR, min_size=1, max_size=3),
    'grpc_metadata': st.dictionaries(NAME, TEXT, min_size=1, max_size=2),
    'external': st.nothing(),  # it goes with a host and a port, tls with it
    'tls': st.nothing(),
    'needs': st.nothing(),
    'deployment_role': st.just('DEPLOYMENT'),  # those that inspect are added by a method of their own
    'workspace': TEXT,
    'shards': st.nothing(),
    'connection_list': st.nothing(),  # it goes with the role of a head
    'restart': st.sampled_from(['no', 'always', 'on-failure', 'on-failure:3']),
    'pod_role': st.just('WORKER'),
    'api_key': st.lists(st.text('abcXYZ019-_.~', min_size=1, max_size=9), max_size=2, unique=True),
    'expose_endpoints': st.just({'/index': {'methods': ['POST', 'PUT'], 'tags': ['a']}, '/none': {}}),
    'uses_before_address': st.nothing(),  # they go with a head, and not with an Executor of its own
    'uses_after_address': st.nothing(),
    # these go with each other and with replicas
    **dict.fromkeys(('stateful', 'peer_ports', 'raft_configuration', 'raft_peers'), st.nothing()),
    'max_header_bytes': st.integers(1024, 10**6),
    'grpc_server_options': st.just({'grpc.max_send_message_length': 1000000}),
    'grpc_channel_options': st.just({'grpc.keepalive_time_ms': 1000}),
}
COMPANIONS = {'ssl_certfile': 'ssl_keyfile', 'ssl_keyfile': 'ssl_certfile', 'max_queue': 'max_concurrency'}


def of_type(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of an option by its type."""
    names = str(annotation)
    if 'bool' in names:
        return st.booleans()
    if 'int' in names:
        return st.integers(1, 10**6)
    if 'dict' in names:
        return MAPPING
    if get_origin(annotation) is list or 'list' in names:
        return st.lists(TEXT, min_size=1, max_size=3)
    kinds = [part for part in (annotation, *get_args(annotation)) if isinstance(part, type) and issubclass(part, Enum)]
    if kinds:
        return st.sampled_from(sorted(kinds[0].__members__))
    return TEXT


def options_of(model: type[Options], without: frozenset[str] = frozenset()) -> st.SearchStrategy[dict[str, Any]]:
    """Some options of a model that this version has."""
    available = {
        name: SPECIAL.get(name, of_type(field.annotation))
        for name, field in model.model_fields.items()
        if not (option_info(field).planned or option_info(field).unsupported)
        and name not in without
        and not (name in SPECIAL and SPECIAL[name].is_empty)
    }
    chosen = st.sets(st.sampled_from(sorted(available)), max_size=6)
    return chosen.flatmap(
        lambda names: st.fixed_dictionaries({name: available[name] for name in sorted(names)}).map(completed)
    )


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """Adds what goes with an option and must not be left out."""
    for name, other in COMPANIONS.items():
        if name in values:
            values.setdefault(other, values[name])
    return values


@pytest.fixture(autouse=True)
def _unprepared() -> Iterator[None]:
    with launcher.unprepared():
        yield


def saved(thing: Any, load: Callable[[str], Any]) -> Any:
    """Save an object, check the file with the schema, load it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'saved.yml')
        thing.save_config(file)
        text = file.read_text(encoding='utf-8')
        VALIDATOR.validate(yaml.safe_load(text))
        loaded = load(str(file))
        # What was loaded is saved where it came from, and is the same once more.
        loaded.save_config()
        again = load(str(file))
        assert again.to_config() == loaded.to_config()
        return loaded


def facts(options: Options) -> dict[str, Any]:
    found = options.model_dump()
    found.pop('extra_search_paths', None)  # the folder of the file is added
    return found


@EXAMPLES
@given(values=options_of(DeploymentOptions))
def test_deployments(values: dict[str, Any]) -> None:
    deployment = Deployment(**values)
    loaded = saved(deployment, Deployment.load_config)
    assert facts(loaded.options) == facts(deployment.options)


def test_external_deployment() -> None:
    deployment = Deployment(external=True, host=['a:1', 'b:2'], tls=True, grpc_metadata={'k': 'v'})
    assert facts(saved(deployment, Deployment.load_config).options) == facts(deployment.options)


@pytest.mark.parametrize('ports', [{'peer_ports': [1, 2, 3]}, {'shards': 2, 'pod_ports': {0: [1, 2, '3'], 1: '4,5,6'}}])
def test_stateful_deployment(ports: dict[str, Any]) -> None:
    consensus = {'raft_configuration': {'HeartbeatTimeout': 900, 'snapshot_interval': 50}}
    deployment = Deployment(stateful=True, replicas=3, **ports, **consensus)
    assert facts(saved(deployment, Deployment.load_config).options) == facts(deployment.options)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    own = draw(options_of(FlowOptions, frozenset({'uses'})))
    if not own.get('dashboard'):
        own.pop('port_dashboard', None)  # alone it is an error
    shared = draw(
        options_of(DeploymentOptions, NOT_FOR_EXECUTORS | set(FlowOptions.model_fields) | {'floating', 'when'})
    )
    public = draw(options_of(GatewayOptions, NOT_FOR_GATEWAY | set(DeploymentOptions.model_fields) | GRAPH))
    flow = Flow(**{**public, **shared, **own})
    names: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        values = draw(options_of(DeploymentOptions, frozenset({'port', 'protocol', 'name', *PUBLIC_OPTIONS})))
        if names and draw(st.booleans()):
            values['needs'] = draw(st.lists(st.sampled_from([*names, 'gateway']), min_size=1, unique=True))
        name = draw(st.one_of(st.none(), NAME.filter(lambda name: name not in names)))
        flow = flow.add(name=name, **values) if name else flow.add(**values)
        names.append(flow[-1].name)
    if draw(st.booleans()):
        flow = flow.config_gateway(**draw(options_of(GatewayOptions, GRAPH)))
    return flow


@EXAMPLES
@given(flow=flows())
def test_flows(flow: Flow) -> None:
    loaded = saved(flow, Flow.load_config)
    assert facts(loaded.options) == facts(flow.options)
    assert facts(loaded.gateway_options) == facts(flow.gateway_options)
    assert [name for name, _ in loaded] == [name for name, _ in flow]
    for (_, before), (_, after) in zip(flow, loaded, strict=True):
        assert facts(after.options) == facts(before.options)


class Kept(Executor):
    def __init__(self, size: Any = 1, words: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.words = size, words

    @requests(on=['/index', '/update'])
    def index(self, docs: DocList[TextDoc], **kwargs: Any) -> None: ...

    @dynamic_batching(preferred_batch_size=2)
    @requests
    def search(self, docs: DocList[TextDoc], **kwargs: Any) -> None: ...


@EXAMPLES
@given(
    arguments=st.fixed_dictionaries({}, optional={'size': VALUE, 'words': VALUE}),
    metas=st.fixed_dictionaries(
        {}, optional={'name': TEXT, 'description': TEXT, 'url': TEXT, 'keywords': st.lists(TEXT)}
    ),
    bound=st.dictionaries(st.sampled_from(['/a', '/index']), st.sampled_from(['index', 'search'])),
    batching=st.dictionaries(st.sampled_from(['search', '/index']), st.just({'preferred_batch_size': 3, 'timeout': 7})),
)
def test_executors(
    arguments: dict[str, Any],
    metas: dict[str, Any],
    bound: dict[str, str],
    batching: dict[str, Any],
) -> None:
    if batching.keys() - {'search'} - {'/index'} or ('/index' in batching and bound and '/index' not in bound):
        batching = {}
    executor = Kept(**arguments, metas=metas, requests=bound, dynamic_batching=batching)
    loaded = saved(executor, Kept.load_config)
    assert (loaded.size, loaded.words) == (executor.size, executor.words)
    assert vars(loaded.metas) == vars(executor.metas)
    assert {name: method.__name__ for name, method in loaded.requests.items()} == {
        name: method.__name__ for name, method in executor.requests.items()
    }
    assert loaded.dynamic_batching == executor.dynamic_batching


@given(value=VALUE)
def test_valid_documents(value: Any) -> None:
    assert Deployment.is_valid_jaml({'jtype': 'Deployment', 'with': {'value': value}})


def test_documents_that_yaml_can_not_hold() -> None:
    assert not Deployment.is_valid_jaml({'jtype': 'Deployment', 'with': {'value': object()}})
    assert not Deployment.is_valid_jaml({'with': {'value': math.nan}})
    with pytest.raises(ConfigError, match='does not know where to write'):
        Deployment().save_config()
    assert json.loads(json.dumps(Deployment(replicas=2).to_config())) == {
        'jtype': 'Deployment',
        'version': '1',
        'with': {'replicas': 2},
    }
