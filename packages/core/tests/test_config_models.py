"""Every option of the specification: its name, type, default, aliases, and whether this version has it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from jina.core.config import (
    ClientOptions,
    DashboardOptions,
    DeploymentOptions,
    ExecutorOptions,
    ExportComposeOptions,
    ExportDashboardsOptions,
    ExportDockerfileOptions,
    ExportFlowchartOptions,
    ExportKubernetesOptions,
    ExportSchemaOptions,
    FlowOptions,
    GatewayOptions,
    NewOptions,
    Options,
    PingOptions,
    build,
    default_of,
    description_of,
    option_info,
)
from jina.core.errors import ConfigError


class Fact(NamedTuple):
    kind: str
    default: Any
    other: Any = None
    """A value that isn't the default, as a person writes it."""
    refused: str = ''
    """Why this version refuses any value but the default."""
    aliases: tuple[str, ...] = ()


def flag(refused: str = '') -> Fact:
    return Fact('boolean', False, True, refused)


def text(default: str | None = None, refused: str = '', **more: Any) -> Fact:
    return Fact('string', default, 'something', refused, **more)


def values(refused: str = '') -> Fact:
    return Fact('object', None, {'key': 1}, refused)


def texts(default: Any = None, refused: str = '', **more: Any) -> Fact:
    return Fact('array', default, ['a', 'b'], refused, **more)


NO_METRICS = 'a client records traces only'
STATELESS = 'a gateway has no state; give it to an Executor'
PROVIDERS = 'it comes with hosting providers'
HUB = 'it comes with the Executor hub'
ONE_RUNTIME = 'there is one runtime for each role'

ESSENTIAL = {
    'name': text(),
    'workspace': text(),
    'log_config': text('default'),
    'quiet': flag(),
    'quiet_error': flag(),
    'workspace_id': text(refused='objects share a workspace by giving the same path as workspace'),
}
TELEMETRY = {
    'tracing': flag(),
    'traces_exporter_host': text(aliases=('tracing_exporter_host',)),
    'traces_exporter_port': Fact('integer', None, 4317, aliases=('tracing_exporter_port',)),
    'metrics': flag(),
    'metrics_exporter_host': text(),
    'metrics_exporter_port': Fact('integer', None, 4317),
}
PROTECTION = {
    'ssl_certfile': text(),
    'ssl_keyfile': text(),
    'ssl_cafile': text(),
    'api_key': texts(),
    'api_key_file': text(),
    'allow_origins': texts(),
    'max_concurrency': Fact('integer', None, 5),
    'max_queue': Fact('integer', None, 0),
    'max_request_bytes': Fact('integer', None, 1000),
    'max_header_bytes': Fact('integer', 65536, 2000),
    'timeout_headers': Fact('integer', 20000, -1),
    'timeout_body': Fact('integer', 20000, -1),
}
BASE = {
    **ESSENTIAL,
    'timeout_graceful_shutdown': Fact('integer', 4000, 10_000),
    **TELEMETRY,
    **PROTECTION,
    'extra_search_paths': texts([]),
    'timeout_ctrl': Fact('integer', 60, 70),
    'k8s_namespace': text(),
    'entrypoint': text(),
    'docker_kwargs': values(),
    'runtime_cls': text('WorkerRuntime', refused=ONE_RUNTIME),
    'timeout_ready': Fact('integer', 600000, -1),
    'env': Fact('object', None, {'A': 'b'}),
    'env_from_secret': values(),
    'image_pull_secrets': texts(),
    'shard_id': Fact('integer', 0, 1),
    'pod_role': Fact('string', 'WORKER', 'HEAD'),
    'noblock_on_start': flag(),
    'floating': flag(),
    'replica_id': Fact('integer', 0, 1),
    'reload': flag(),
    'port': Fact('array', [], [12345], aliases=('ports', 'port_expose')),
    'protocol': Fact('array', ['GRPC'], ['HTTP'], aliases=('protocols',)),
    'provider': Fact('string', 'NONE', 'AZURE', PROVIDERS),
    'provider_endpoint': text(refused=PROVIDERS),
    'monitoring': flag(),
    'port_monitoring': Fact('array', [], [9090]),
    'retries': Fact('integer', -1, 0),
    'stateful': flag(),
    'peer_ports': Fact('any', None, [1, 2, 3], aliases=('pod_ports',)),
    'grpc_server_options': Fact('object', None, {'grpc.key': 1}),
    'grpc_channel_options': Fact('object', None, {'grpc.key': 1}),
    'compression': Fact('string', None, 'Gzip'),
    'timeout_send': Fact('integer', None, -1),
}
HTTP_SERVER = {
    'title': text(),
    'description': text(),
    'cors': flag(),
    'no_debug_endpoints': flag(),
    'no_crud_endpoints': flag(),
    'expose_endpoints': Fact('object', None, {'/foo': {'summary': 'something', 'methods': ['PUT']}}),
    'expose_graphql_endpoint': flag(),
    'uvicorn_kwargs': values(),
}
EXECUTOR = {
    **BASE,
    **HTTP_SERVER,
    'polling': Fact('any', 'ANY', 'ALL'),
    'shards': Fact('integer', 1, 2),
    'replicas': Fact('integer', 1, 2),
    'native': flag(),
    'uses': Fact('any', 'BaseExecutor', 'MyExecutor'),
    'uses_with': values(),
    'uses_metas': values(),
    'uses_requests': values(),
    'uses_dynamic_batching': Fact('object', None, {'/a': {'timeout': 1}}),
    'py_modules': texts(),
    'output_array_type': text(refused='it belongs to docarray before 0.30'),
    'exit_on_exceptions': texts([]),
    'no_reduce': flag()._replace(aliases=('disable_reduce',)),
    'allow_concurrent': flag(),
    'raft_configuration': Fact('object', None, {'commit_timeout': 10}),
    'raft_peers': texts()._replace(other=['a:1', 'b:1', 'c:1']),
    'volumes': texts(),
    'gpus': text(),
    'disable_auto_volume': flag(),
    'force_network_mode': Fact('string', 'AUTO', 'HOST'),
    'host': texts(['0.0.0.0'], aliases=('host_in',)),
    'install_requirements': flag(),
    'force_update': flag(HUB)._replace(aliases=('force',)),
    'prefer_platform': text(refused=HUB),
    'uses_before_address': text(),
    'uses_after_address': text(),
    'connection_list': Fact('object', None, {'0': ['localhost:1']}),
}
DEPLOYMENT = {
    **EXECUTOR,
    'name': text('executor'),
    'suppress_root_logging': flag(),
    'restart': Fact('string', 'no', 'on-failure:3'),
    'uses_before': Fact('any', None, 'MyExecutor'),
    'uses_after': Fact('any', None, 'MyExecutor'),
    'when': values(),
    'external': flag(),
    'grpc_metadata': Fact('object', None, {'key': 'value'}),
    'deployment_role': Fact('string', 'DEPLOYMENT', 'INSPECT'),
    'tls': flag(),
    'needs': texts(),
    'include_gateway': Fact('boolean', True, False),
}
GATEWAY = {
    **BASE,
    **HTTP_SERVER,
    'name': text('gateway'),
    'restart': Fact('string', 'no', 'always'),
    'port': Fact('array', [], [12345], aliases=('ports', 'port_expose', 'port_in')),
    'floating': flag('a gateway is never floating'),
    'stateful': flag(STATELESS),
    'peer_ports': Fact('any', None, [1, 2, 3], STATELESS, ('pod_ports',)),
    'runtime_cls': text('GatewayRuntime', refused=ONE_RUNTIME),
    'pod_role': Fact('string', 'GATEWAY', 'HEAD', 'a gateway has no other role'),
    'host': text('0.0.0.0', aliases=('host_in',)),
    'prefetch': Fact('integer', 1000, 0),
    'proxy': flag(),
    'uses': Fact('any', None, 'MyGateway'),
    'uses_with': values(),
    'py_modules': texts(),
    'volumes': texts(),
    'gpus': text(),
    'disable_auto_volume': flag(),
    'force_network_mode': Fact('string', 'AUTO', 'HOST'),
    'replicas': Fact('integer', 1, 2),
    'graph_description': Fact('object', {}, {'start-gateway': ['a'], 'a': ['end-gateway']}),
    'graph_conditions': Fact('object', {}, {'a': {'x': {'$eq': 1}}}),
    'graph_merge_order': Fact('object', {}, {'c': ['b', 'a']}),
    'deployments_addresses': Fact('object', {}, {'a': ['localhost:1']}),
    'deployments_metadata': Fact('object', {}, {'a': {'key': 'value'}}),
    'deployments_no_reduce': texts([], aliases=('deployments_disable_reduce',)),
}
FLOW = {
    **ESSENTIAL,
    'suppress_root_logging': flag(),
    'uses': text(),
    'reload': flag(),
    'env': Fact('object', None, {'A': 'b'}),
    'inspect': Fact('string', 'COLLECT', 'REMOVE'),
    'asyncio': flag(),
    'reuse_session': flag(),
    'dashboard': flag(),
    'port_dashboard': Fact('integer', 0, 8260),
}
CLIENT = {
    **TELEMETRY,
    'metrics': flag(NO_METRICS),
    'metrics_exporter_host': text(refused=NO_METRICS),
    'metrics_exporter_port': Fact('integer', None, 4317, NO_METRICS),
    'proxy': flag(),
    'host': text('0.0.0.0'),
    'port': Fact('integer', None, 12345),
    'tls': flag(),
    'ssl_cafile': text(),
    'ssl_server_name': text(),
    'api_key': text(),
    'asyncio': flag(),
    'log_config': text('default'),
    'reuse_session': flag(),
    'cors': flag(),
    'protocol': Fact('string', 'GRPC', 'HTTP'),
    'grpc_channel_options': Fact('object', None, {'grpc.key': 1}),
    'prefetch': Fact('integer', 1000, 5),
    'suppress_root_logging': flag(),
}
PING = {
    'target': Fact('string', ..., 'flow'),
    'host': Fact('string', ..., 'grpc://localhost:1'),
    'timeout': Fact('integer', 3000, -1),
    'attempts': Fact('integer', 1, 3),
    'min_successful_attempts': Fact('integer', 1, 2),
    'ssl_cafile': text(),
    'ssl_server_name': text(),
}
DASHBOARD = {
    'target': Fact('string', ..., 'grpc://localhost:1'),
    'host': text('127.0.0.1'),
    'port': Fact('integer', 8260, 0),
    'metrics': texts([]),
    'ssl_cafile': text(),
    'ssl_server_name': text(),
}
NEW = {'name': Fact('string', ..., 'project'), 'type': Fact('string', 'flow', 'deployment')}
EXPORT = {'config_path': Fact('string', ..., 'flow.yml'), 'outpath': Fact('string', ..., 'out')}
SCHEMA = {'yaml_path': texts([]), 'json_path': texts([]), 'schema_path': texts([])}

TABLES: dict[type[Options], dict[str, Fact]] = {
    ExecutorOptions: EXECUTOR,
    DeploymentOptions: DEPLOYMENT,
    GatewayOptions: GATEWAY,
    FlowOptions: FLOW,
    ClientOptions: CLIENT,
    PingOptions: PING,
    DashboardOptions: DASHBOARD,
    NewOptions: NEW,
    ExportFlowchartOptions: {**EXPORT, 'vertical_layout': flag()},
    ExportKubernetesOptions: {
        **EXPORT,
        'k8s_namespace': text(),
        'balance': Fact('string', 'client', 'mesh'),
        'nonroot': flag(),
        'scrape': Fact('string', 'service-monitor', 'annotations'),
        'pre_stop_s': Fact('integer', 12, 60),
        'kustomize': flag(),
    },
    ExportComposeOptions: {**EXPORT, 'network_name': text()},
    ExportDockerfileOptions: {
        'outpath': Fact('string', ..., 'Dockerfile'),
        'kind': Fact('string', 'executor', 'gateway'),
        'config': text('config.yml'),
        'base': text('python:3.12-slim'),
    },
    ExportDashboardsOptions: {'outpath': Fact('string', ..., 'folder')},
    ExportSchemaOptions: SCHEMA,
}
CASES = [(model, name) for model, table in TABLES.items() for name in table]
REQUIRED: dict[type[Options], dict[str, Any]] = {
    model: {name: fact.other for name, fact in table.items() if fact.default is ...} for model, table in TABLES.items()
}


TOGETHER: dict[str, dict[str, Any]] = {
    'ssl_certfile': {'ssl_keyfile': 'x'},
    'ssl_keyfile': {'ssl_certfile': 'x'},
    'max_queue': {'max_concurrency': 1},
    'stateful': {'replicas': 3},
    'peer_ports': {'stateful': True, 'replicas': 3},
    'raft_configuration': {'stateful': True, 'replicas': 3},
    'raft_peers': {'stateful': True, 'replicas': 3},
}
"""What an option needs beside it."""


def case_id(value: object) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, 'name', value)


@pytest.mark.parametrize('model', TABLES, ids=case_id)
def test_names(model: type[Options]) -> None:
    assert sorted(model.model_fields) == sorted(TABLES[model])


@pytest.mark.parametrize(('model', 'name'), CASES, ids=case_id)
def test_type(model: type[Options], name: str) -> None:
    schema = model.model_json_schema(mode='serialization')['properties'][name]
    kinds = [part.get('type', 'any') for part in schema.get('anyOf', [schema]) if part.get('type') != 'null']
    assert ('any' if len(kinds) > 1 else kinds[0]) == TABLES[model][name].kind


@pytest.mark.parametrize(('model', 'name'), CASES, ids=case_id)
def test_default(model: type[Options], name: str) -> None:
    assert plain(default_of(model, name)) == TABLES[model][name].default


@pytest.mark.parametrize(('model', 'name'), CASES, ids=case_id)
def test_description_and_aliases(model: type[Options], name: str) -> None:
    assert description_of(model, name).endswith('.')
    assert option_info(model.model_fields[name]).aliases == TABLES[model][name].aliases


@pytest.mark.parametrize(('model', 'name'), CASES, ids=case_id)
def test_other_value_is_taken_or_refused(model: type[Options], name: str) -> None:
    fact = TABLES[model][name]
    written = {**REQUIRED[model], name: fact.other}
    if name == 'tls' and model is DeploymentOptions:
        written['external'] = True
    if not fact.refused:
        written |= TOGETHER.get(name, {})
    if model in (ExecutorOptions, DeploymentOptions) and name in ('pod_role', 'connection_list'):
        written = {'connection_list': {'0': ['localhost:1']}, 'pod_role': 'HEAD', **written}
    if not fact.refused:
        assert plain(getattr(build(model, written), name)) == fact.other
        return
    with pytest.raises(ConfigError) as caught:
        build(model, written)
    expected = f'option {name!r} of {model.owner} is not available in this version ({fact.refused}); remove it'
    assert str(caught.value) == expected


@pytest.mark.parametrize(('model', 'name'), [case for case in CASES if TABLES[case[0]][case[1]].aliases], ids=case_id)
def test_aliases_set_the_option(model: type[Options], name: str) -> None:
    fact = TABLES[model][name]
    for alias in fact.aliases:
        if not fact.refused:
            assert plain(getattr(build(model, {**TOGETHER.get(name, {}), alias: fact.other}), name)) == fact.other
            continue
        with pytest.raises(ConfigError, match=f'^option {name!r} of'):
            build(model, {alias: fact.other})


@pytest.mark.parametrize('model', TABLES, ids=case_id)
def test_defaults_can_be_given(model: type[Options]) -> None:
    written = {name: fact.default for name, fact in TABLES[model].items() if fact.default is not ...}
    assert build(model, {**REQUIRED[model], **written}) == build(model, REQUIRED[model])


@pytest.mark.parametrize('model', TABLES, ids=case_id)
def test_options_come_back_from_their_dump(model: type[Options]) -> None:
    options = build(model, REQUIRED[model])
    assert model.model_validate(options.model_dump()) == options
    assert model.model_validate_json(options.model_dump_json()) == options


def test_options_do_not_change() -> None:
    options = ExecutorOptions()
    with pytest.raises(ValueError, match='frozen'):
        options.replicas = 2  # type: ignore[misc]


def test_variables_change_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('JINA_DEFAULT_HOST', '127.0.0.1')
    monkeypatch.setenv('JINA_DEFAULT_TIMEOUT_CTRL', '90')
    assert ExecutorOptions().host == ['127.0.0.1']
    assert GatewayOptions().host == '127.0.0.1'
    assert ClientOptions().host == '127.0.0.1'
    assert ExecutorOptions().timeout_ctrl == 90


def test_runtime_name() -> None:
    assert ExecutorOptions(name='enc', replica_id=2).runtime_name == 'enc/rep-2'
    assert ExecutorOptions().runtime_name == 'executor/rep-0'
    assert GatewayOptions().runtime_name == 'gateway/rep-0'


def test_import_is_light() -> None:
    code = (
        'import sys, jina.core.config\n'
        "heavy = {'grpc', 'google.protobuf', 'docarray', 'numpy', 'rich', 'fastapi', 'yaml', 'opentelemetry'}\n"
        'print(sorted(heavy & set(sys.modules)))'
    )
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout == '[]\n'
