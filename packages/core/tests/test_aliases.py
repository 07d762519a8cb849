"""The import paths of the original package."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import jina
import pytest
from jina.core import aliases, errors
from jina.core.aliases import ALIASES, PUBLIC, Internal, Later

# Every path of the original's Python API that its documentation and its published sources name.
DOCUMENTED = [
    'jina.AsyncFlow',
    'jina.Client',
    'jina.Deployment',
    'jina.DocumentArray',
    'jina.Executor',
    'jina.Flow',
    'jina.Gateway',
    'jina.dynamic_batching',
    'jina.monitor',
    'jina.requests',
    'jina.__version__',
    'jina.__default_host__',
    'jina.__docker_host__',
    'jina.__windows__',
    'jina.clients.Client',
    'jina.clients.base.retry.wait_or_raise_err',
    'jina.clients.grpc.AsyncGRPCClient',
    'jina.clients.grpc.GRPCClient',
    'jina.clients.http.AsyncHTTPClient',
    'jina.clients.http.HTTPClient',
    'jina.clients.mixin.HealthCheckMixin',
    'jina.clients.mixin.HealthCheckMixin.is_deployment_ready',
    'jina.clients.mixin.HealthCheckMixin.is_flow_ready',
    'jina.clients.mixin.MutateMixin',
    'jina.clients.mixin.PostMixin',
    'jina.clients.mixin.PostMixin.post',
    'jina.clients.mixin.ProfileMixin',
    'jina.clients.websocket.AsyncWebSocketClient',
    'jina.clients.websocket.WebSocketClient',
    'jina.enums.DeploymentRoleType',
    'jina.enums.PodRoleType',
    'jina.enums.PollingType',
    'jina.excepts.ExecutorError',
    'jina.excepts.InternalNetworkError',
    'jina.excepts.RuntimeFailToStart',
    'jina.excepts.RuntimeRunForeverEarlyError',
    'jina.flow.Flow',
    'jina.helper.CatchAllCleanupContextManager',
    'jina.helper.run_async',
    'jina.helper.typename',
    'jina.hubble.hubio.HubIO',
    'jina.jaml.JAML',
    'jina.jaml.JAMLCompatible',
    'jina.jaml.JAMLCompatible.save_config',
    'jina.jaml.helper.complete_path',
    'jina.logging.logger.JinaLogger',
    'jina.orchestrate.deployments.Deployment',
    'jina.orchestrate.deployments.DeploymentType',
    'jina.orchestrate.flow.asyncio.AsyncFlow',
    'jina.orchestrate.flow.base.Flow',
    'jina.orchestrate.pods.container.ContainerPod',
    'jina.orchestrate.pods.factory.PodFactory',
    'jina.orchestrate.pods.helper.ConditionalEvent',
    'jina.orchestrate.pods.helper._get_event',
    'jina.orchestrate.pods.helper.update_runtime_cls',
    'jina.parsers.get_main_parser',
    'jina.serve.executors.BaseExecutor',
    'jina.serve.executors.BaseExecutor.close',
    'jina.serve.executors.Executor',
    'jina.serve.executors.decorators.monitor',
    'jina.serve.executors.decorators.requests',
    'jina.serve.executors.decorators.write',
    'jina.serve.networking.GrpcConnectionPool',
    'jina.serve.networking.ReplicaList',
    'jina.serve.networking.create_connection_pool',
    'jina.serve.networking.host_is_local',
    'jina.serve.networking.in_docker',
    'jina.serve.networking.is_remote_local_connection',
    'jina.serve.runtimes.asyncio.AsyncNewLoopRuntime',
    'jina.serve.runtimes.gateway.GatewayRuntime',
    'jina.serve.runtimes.gateway.grpc.GRPCGateway',
    'jina.serve.runtimes.gateway.grpc.GRPCGatewayRuntime',
    'jina.serve.runtimes.gateway.grpc.gateway.GRPCGateway',
    'jina.serve.runtimes.gateway.http.HTTPGateway',
    'jina.serve.runtimes.gateway.http.HTTPGatewayRuntime',
    'jina.serve.runtimes.gateway.http.fastapi.FastAPIBaseGateway',
    'jina.serve.runtimes.gateway.websocket.WebSocketGateway',
    'jina.serve.runtimes.gateway.websocket.WebSocketGatewayRuntime',
    'jina.serve.runtimes.get_runtime',
    'jina.serve.runtimes.head.HeadRuntime',
    'jina.serve.runtimes.worker.WorkerRuntime',
    'jina.serve.streamer.GatewayStreamer',
    'jina.serve.streamer._ExecutorStreamer',
    'jina.types.request.Request',
    'jina.types.request.data.DataRequest',
    'jina.types.request.data.Response',
    'jina.types.request.status.StatusMessage',
]

EXCEPTIONS = [
    'BadClient',
    'BadClientCallback',
    'BadClientInput',
    'BadConfigSource',
    'BadImageNameError',
    'BadRequestType',
    'BadServer',
    'BadServerFlow',
    'BadYAMLVersion',
    'BaseJinaException',
    'DockerVersionError',
    'EstablishGrpcConnectionError',
    'ExecutorError',
    'FlowBuildLevelError',
    'FlowMissingDeploymentError',
    'FlowTopologyError',
    'InternalNetworkError',
    'NoContainerizedError',
    'NotSupportedError',
    'PortAlreadyUsed',
    'RuntimeFailToStart',
    'RuntimeRunForeverEarlyError',
    'RuntimeTerminated',
]

ENTRIES = [(module, name) for module, names in ALIASES.items() for name in names]


def require(*modules: str) -> None:
    """Skips the test if the distribution that owns one of the modules isn't installed."""
    for module in modules:
        package = '.'.join(module.split('.')[:2])
        if package not in ALIASES and importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} belongs to a distribution that is not installed')


def split(path: str) -> tuple[str, str, list[str]]:
    """Splits a documented path into the module of the table, the name in it and attributes of that."""
    parts = path.split('.')
    for length in range(len(parts) - 1, 0, -1):
        module = '.'.join(parts[:length])
        if module in ALIASES or module == 'jina':
            return module, parts[length], parts[length + 1 :]
    raise AssertionError(f'{path} is not below a module of the table')


@pytest.mark.parametrize(('module', 'name'), ENTRIES)
def test_every_entry_of_the_table(module: str, name: str) -> None:
    home = ALIASES[module][name]
    require(module)
    if isinstance(home, Later):
        with pytest.raises(ImportError) as caught:
            getattr(importlib.import_module(module), name)
        assert str(caught.value) == home.refusal(f'{module}.{name}')
        return
    home_module, _, attribute = home.partition(':')
    require(home_module)
    expected = getattr(importlib.import_module(home_module), attribute)
    assert getattr(importlib.import_module(module), name) is expected


@pytest.mark.parametrize('path', DOCUMENTED)
def test_every_documented_path(path: str) -> None:
    module, name, attributes = split(path)
    require(module)
    home = (PUBLIC if module == 'jina' else ALIASES[module])[name]
    if isinstance(home, Later):
        with pytest.raises(ImportError, match=f'^{module}.{name} '):
            getattr(importlib.import_module(module), name)
        return
    require(home.partition(':')[0])
    value = getattr(importlib.import_module(module), name)
    for attribute in attributes:
        value = getattr(value, attribute)


def test_all_exceptions_of_the_original_are_members_of_the_tree() -> None:
    import jina.excepts

    assert sorted(jina.excepts.__all__) == sorted(EXCEPTIONS)
    assert all(issubclass(getattr(jina.excepts, name), errors.JinaError) for name in EXCEPTIONS)


def test_old_names_catch_what_is_raised_under_new_ones() -> None:
    from jina.excepts import BadConfigSource

    with pytest.raises(BadConfigSource):
        raise errors.ConfigSourceError('nothing there')


def test_importing_an_alias_imports_no_home() -> None:
    code = (
        'import sys, jina.clients.http, jina.serve.executors, jina.types.request.data, jina.logging.logger; '
        "print(*sorted(n for n in sys.modules if n.startswith(('jina.client.', 'jina.core.', 'docarray', 'grpc'))))"
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ['jina.core.aliases', 'jina.core.docarray_repair', 'jina.core.errors']


def test_old_path_below_a_real_plain_module(tmp_path: Path) -> None:
    (tmp_path / 'jina' / 'orchestrate').mkdir(parents=True)
    (tmp_path / 'jina' / 'orchestrate' / '__init__.py').write_text(
        'from jina.orchestrate.flow import Flow\nDeployment = Flow\n'
    )
    (tmp_path / 'jina' / 'orchestrate' / 'flow.py').write_text('class Flow: ...\n')
    code = (
        f'import jina; jina.__path__.insert(0, {str(tmp_path / "jina")!r})\n'
        'from jina.orchestrate.flow.base import Flow as old\n'
        'from jina.orchestrate.flow import Flow as new\n'
        'import jina.orchestrate.deployments\n'
        'print(old is new, new.__module__, jina.orchestrate.deployments.Deployment is new)'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == 'True jina.orchestrate.flow True\n', result.stderr


def test_unknown_name_in_an_alias_module() -> None:
    import jina.excepts

    with pytest.raises(AttributeError) as caught:
        _ = jina.excepts.RuntimeFailsToStart  # type: ignore[attr-defined]
    assert str(caught.value) == (
        "module 'jina.excepts' has no attribute 'RuntimeFailsToStart'; did you mean 'RuntimeFailToStart'?"
    )
    with pytest.raises(ImportError, match='cannot import name'):
        from jina.excepts import Nothing  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'jina.excepts.deeper'"):
        importlib.import_module('jina.excepts.deeper')


def test_internal_machinery_says_what_to_use() -> None:
    with pytest.raises(ImportError) as caught:
        from jina.helper import typename  # type: ignore[import-not-found]  # noqa: F401
    assert str(caught.value) == (
        'jina.helper.typename was internal machinery of the original package and does not exist here; '
        'use type(x).__qualname__'
    )
    assert isinstance(ALIASES['jina.helper']['typename'], Internal)


def test_star_import_gives_the_available_names() -> None:
    namespace: dict[str, object] = {}
    exec('from jina.excepts import *', namespace)
    assert namespace['BadClient'] is errors.ClientError


def test_the_finder_is_installed_once_and_leaves_other_modules_alone() -> None:
    aliases.install()
    finders = [finder for finder in sys.meta_path if isinstance(finder, aliases.AliasFinder)]
    assert len(finders) == 1
    assert finders[0].find_spec('jina.core') is None
    assert finders[0].find_spec('json') is None


def test_errors_pickle_by_their_new_home() -> None:
    from jina.excepts import BadClient

    restored = pickle.loads(pickle.dumps(BadClient('no')))
    assert type(restored) is errors.ClientError
    assert str(restored) == 'no'


def test_every_parent_of_an_alias_is_importable() -> None:
    for path in ALIASES:
        parent = path.rpartition('.')[0]
        assert parent in ALIASES or parent in ('jina', 'jina.orchestrate', 'jina.orchestrate.flow'), path
    assert jina.__path__
