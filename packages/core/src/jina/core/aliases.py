"""Import paths of the original package, served from one table.

``ALIASES`` maps each old module to its public names, and each name to its home ``'module:attribute'`` in this code
base, or to `Later` (it comes with a later version) or `Internal` (machinery of the original that has no counterpart).
A finder builds a module for such a path when it is first imported; its names are resolved when they are first used, so
an alias costs nothing until then and always is the very object of its new home.

``PUBLIC`` does the same for the names of the package ``jina`` itself.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from jina.core.errors import MissingExtraError


class Later:
    """A documented name whose implementation comes with a later version.

    Args:
        theme: What it comes with.
    """

    __slots__ = ('theme',)

    def __init__(self, theme: str) -> None:
        self.theme = theme

    def refusal(self, path: str) -> str:
        """Returns the message of the ``ImportError`` for ``path``."""
        return f'{path} is not available in this version (it comes with {self.theme})'


class Internal(Later):
    """A name of the original's machinery that this implementation does not have.

    Args:
        theme: What to use instead.
    """

    __slots__ = ()

    def refusal(self, path: str) -> str:
        """Returns the message of the ``ImportError`` for ``path``."""
        return f'{path} was internal machinery of the original package and does not exist here; {self.theme}'


Home = str | Later

_ASYNC_FLOW = Later('asyncio orchestration')
_HEAD = Internal('give a Deployment shards and it starts its head')
_POD_OPTIONS = Internal('describe processes with the options of Deployment and Flow')
_NETWORKING = Internal('the gateway keeps its own connections')

_GATEWAYS = 'jina.runtime.gateways.'
_STREAMER = 'jina.runtime.streamer:'

PUBLIC: dict[str, Home] = {
    'AsyncFlow': _ASYNC_FLOW,
    'AsyncTestClient': 'jina.orchestrate:AsyncTestClient',
    'Client': 'jina.client:Client',
    'Deployment': 'jina.orchestrate:Deployment',
    'Document': 'docarray.documents.legacy:LegacyDocument',
    'DocumentArray': 'docarray:DocList',
    'Executor': 'jina.core.executor:Executor',
    'Flow': 'jina.orchestrate:Flow',
    'Gateway': _GATEWAYS + 'base:Gateway',
    'TestClient': 'jina.orchestrate:TestClient',
    '__default_host__': 'jina.core.environment:DEFAULT_HOST',
    '__docarray_version__': 'docarray:__version__',
    '__docker_host__': 'jina.core.environment:DOCKER_HOST',
    '__proto_version__': 'jina.core.environment:PROTO_VERSION',
    '__version__': 'jina.core.version:__version__',
    '__windows__': 'jina.core.environment:WINDOWS',
    'dynamic_batching': 'jina.core.endpoints:dynamic_batching',
    'monitor': 'jina.core.endpoints:monitor',
    'requests': 'jina.core.endpoints:requests',
    'write': 'jina.core.endpoints:write',
}
"""Names of the package ``jina`` and their homes."""

_INSTALL = {
    'client': 'jina-client',
    'export': 'jina-export',
    'orchestrate': 'jina-orchestrate',
    'runtime': 'jina-runtime',
    'telemetry': 'jina-telemetry',
}

_ERRORS = 'jina.core.errors:'
_ENUMS = 'jina.core.enums:'
_ENDPOINTS = 'jina.core.endpoints:'
_EXECUTOR = 'jina.core.executor:'
_REQUEST = 'jina.core.request:'
_FASTAPI_GATEWAY = _GATEWAYS + 'fastapi:FastAPIBaseGateway'
_HTTP_GATEWAY = _GATEWAYS + 'built_in:HTTPGateway'
_GRPC_GATEWAY = _GATEWAYS + 'built_in:GRPCGateway'
_WEBSOCKET_GATEWAY = _GATEWAYS + 'built_in:WebSocketGateway'
_COMPOSITE_GATEWAY = _GATEWAYS + 'built_in:CompositeGateway'

ALIASES: dict[str, dict[str, Home]] = {
    'jina.clients': {'Client': 'jina.client:Client'},
    'jina.clients.base': {'BaseClient': 'jina.client:BaseClient'},
    'jina.clients.base.retry': {'wait_or_raise_err': 'jina.client.retry:wait_or_raise_err'},
    'jina.clients.grpc': {
        'AsyncGRPCClient': 'jina.client:AsyncGRPCClient',
        'GRPCClient': 'jina.client:GRPCClient',
    },
    'jina.clients.http': {
        'AsyncHTTPClient': 'jina.client:AsyncHTTPClient',
        'HTTPClient': 'jina.client:HTTPClient',
    },
    'jina.clients.mixin': {
        'HealthCheckMixin': 'jina.client.mixin:HealthCheckMixin',
        'MutateMixin': 'jina.client.mixin:MutateMixin',
        'PostMixin': 'jina.client.mixin:PostMixin',
        'ProfileMixin': 'jina.client.mixin:ProfileMixin',
    },
    'jina.clients.websocket': {
        'AsyncWebSocketClient': 'jina.client:AsyncWebSocketClient',
        'WebSocketClient': 'jina.client:WebSocketClient',
    },
    'jina.enums': {
        'DataInputType': _ENUMS + 'DataInputType',
        'DeploymentRoleType': _ENUMS + 'DeploymentRoleType',
        'DockerNetworkMode': _ENUMS + 'DockerNetworkMode',
        'FlowBuildLevel': _ENUMS + 'FlowBuildLevel',
        'FlowInspectType': _ENUMS + 'FlowInspectType',
        'PodRoleType': _ENUMS + 'PodRoleType',
        'PollingType': _ENUMS + 'PollingType',
        'ProtocolType': _ENUMS + 'ProtocolType',
        'ProviderType': _ENUMS + 'ProviderType',
        'StandaloneExecutorType': _ENUMS + 'StandaloneExecutorType',
    },
    'jina.excepts': {
        'BadClient': _ERRORS + 'ClientError',
        'BadClientCallback': _ERRORS + 'CallbackError',
        'BadClientInput': _ERRORS + 'InputError',
        'BadConfigSource': _ERRORS + 'ConfigSourceError',
        'BadImageNameError': _ERRORS + 'ImageNameError',
        'BadRequestType': _ERRORS + 'RequestTypeError',
        'BadServer': _ERRORS + 'ServerError',
        'BadServerFlow': _ERRORS + 'ServerError',
        'BadYAMLVersion': _ERRORS + 'YamlVersionError',
        'BaseJinaException': _ERRORS + 'JinaError',
        'DockerVersionError': _ERRORS + 'ContainerError',
        'EstablishGrpcConnectionError': _ERRORS + 'ConnectError',
        'ExecutorError': _ERRORS + 'RemoteError',
        'FlowBuildLevelError': _ERRORS + 'NotStartedError',
        'FlowMissingDeploymentError': _ERRORS + 'MissingDeploymentError',
        'FlowTopologyError': _ERRORS + 'TopologyError',
        'InternalNetworkError': _ERRORS + 'TransportError',
        'NoContainerizedError': _ERRORS + 'ContainerError',
        'NotSupportedError': _ERRORS + 'NotSupportedError',
        'PortAlreadyUsed': _ERRORS + 'PortInUseError',
        'RuntimeFailToStart': _ERRORS + 'StartupError',
        'RuntimeRunForeverEarlyError': _ERRORS + 'TerminatedError',
        'RuntimeTerminated': _ERRORS + 'TerminatedError',
    },
    'jina.flow': {'Flow': 'jina.orchestrate:Flow'},
    'jina.helper': {
        'CatchAllCleanupContextManager': Internal('use contextlib.ExitStack'),
        'run_async': 'jina.client.loop:run_async',
        'typename': Internal('use type(x).__qualname__'),
    },
    'jina.hubble': {},
    'jina.hubble.hubio': {'HubIO': Later('the Executor hub')},
    'jina.jaml': {
        'JAML': Internal('use load_yaml and dump_yaml of jina.core.yaml'),
        'JAMLCompatible': 'jina.core.yaml:YamlObject',
    },
    'jina.jaml.helper': {'complete_path': 'jina.core.yaml:complete_path'},
    'jina.logging': {},
    'jina.logging.logger': {'JinaLogger': 'jina.core.logging:JinaLogger'},
    'jina.orchestrate.deployments': {
        'Deployment': 'jina.orchestrate:Deployment',
        'DeploymentType': 'abc:ABCMeta',
    },
    'jina.orchestrate.flow.asyncio': {'AsyncFlow': _ASYNC_FLOW},
    'jina.orchestrate.flow.base': {'Flow': 'jina.orchestrate:Flow'},
    'jina.orchestrate.pods': {'Pod': _POD_OPTIONS},
    'jina.orchestrate.pods.container': {'ContainerPod': Internal('use Deployment(uses="docker://<image>")')},
    'jina.orchestrate.pods.factory': {'PodFactory': _POD_OPTIONS},
    'jina.orchestrate.pods.helper': {
        'ConditionalEvent': _POD_OPTIONS,
        '_get_event': _POD_OPTIONS,
        'update_runtime_cls': _POD_OPTIONS,
    },
    'jina.parsers': {'get_main_parser': 'jina.core.cli.parser:get_main_parser'},
    'jina.serve': {},
    'jina.serve.executors': {
        'BaseExecutor': _EXECUTOR + 'BaseExecutor',
        'Executor': _EXECUTOR + 'Executor',
        'dynamic_batching': _ENDPOINTS + 'dynamic_batching',
        'monitor': _ENDPOINTS + 'monitor',
        'requests': _ENDPOINTS + 'requests',
        'write': _ENDPOINTS + 'write',
    },
    'jina.serve.executors.decorators': {
        'dynamic_batching': _ENDPOINTS + 'dynamic_batching',
        'monitor': _ENDPOINTS + 'monitor',
        'requests': _ENDPOINTS + 'requests',
        'write': _ENDPOINTS + 'write',
    },
    'jina.serve.networking': {
        'GrpcConnectionPool': _NETWORKING,
        'K8sGrpcConnectionPool': _NETWORKING,
        'ReplicaList': _NETWORKING,
        'create_connection_pool': _NETWORKING,
        'host_is_local': _NETWORKING,
        'in_docker': _NETWORKING,
        'is_remote_local_connection': _NETWORKING,
    },
    'jina.serve.runtimes': {'get_runtime': _POD_OPTIONS},
    'jina.serve.runtimes.asyncio': {'AsyncNewLoopRuntime': _POD_OPTIONS},
    'jina.serve.runtimes.gateway': {
        'BaseGateway': _GATEWAYS + 'base:BaseGateway',
        'Gateway': _GATEWAYS + 'base:Gateway',
        'GatewayRuntime': _POD_OPTIONS,
    },
    'jina.serve.runtimes.gateway.composite': {'CompositeGateway': _COMPOSITE_GATEWAY},
    'jina.serve.runtimes.gateway.grpc': {'GRPCGateway': _GRPC_GATEWAY, 'GRPCGatewayRuntime': _POD_OPTIONS},
    'jina.serve.runtimes.gateway.grpc.gateway': {'GRPCGateway': _GRPC_GATEWAY},
    'jina.serve.runtimes.gateway.http': {
        'FastAPIBaseGateway': _FASTAPI_GATEWAY,
        'HTTPGateway': _HTTP_GATEWAY,
        'HTTPGatewayRuntime': _POD_OPTIONS,
    },
    'jina.serve.runtimes.gateway.http.fastapi': {
        'FastAPIBaseGateway': _FASTAPI_GATEWAY,
        'HTTPGateway': _HTTP_GATEWAY,
    },
    'jina.serve.runtimes.gateway.websocket': {
        'WebSocketGateway': _WEBSOCKET_GATEWAY,
        'WebSocketGatewayRuntime': _POD_OPTIONS,
    },
    'jina.serve.runtimes.head': {'HeadRuntime': _HEAD},
    'jina.serve.runtimes.worker': {'WorkerRuntime': _POD_OPTIONS},
    'jina.serve.streamer': {
        'GatewayStreamer': _STREAMER + 'GatewayStreamer',
        '_ExecutorStreamer': _STREAMER + 'ExecutorStreamer',
    },
    'jina.types': {},
    'jina.types.request': {'Request': _REQUEST + 'Request'},
    'jina.types.request.data': {
        'DataRequest': _REQUEST + 'DataRequest',
        'Response': _REQUEST + 'Response',
        'SingleDocumentRequest': _REQUEST + 'SingleDocumentRequest',
    },
    'jina.types.request.status': {'StatusMessage': 'jina.core.status:StatusMessage'},
}
"""Old module path -> public name -> home."""

_GRAFTED = frozenset(path.rpartition('.')[0] for path in ALIASES) - ALIASES.keys() - {'jina', 'jina.orchestrate'}
"""Real plain modules below which an old path lies: they must look like packages to the import system."""


class AliasFinder:
    """Meta-path finder for the modules of ``ALIASES``; real modules always win."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns a spec for an old path, and None for everything else."""
        if fullname in ALIASES:
            return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]
        if fullname in _GRAFTED:
            spec = PathFinder.find_spec(fullname, path, target)
            if spec is not None and spec.submodule_search_locations is None:
                spec.submodule_search_locations = []
            return spec
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leaves the creation of the module to the import system."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module lazy attributes."""
        names = ALIASES[module.__name__]
        module.__doc__ = f'Import path of the original package, kept for code that uses it: {", ".join(names) or "-"}.'
        module.__dict__['__all__'] = [name for name, home in names.items() if isinstance(home, str)]

        def __getattr__(name: str) -> object:
            value = _resolve(module.__name__, names, name)
            module.__dict__[name] = value
            return value

        module.__dict__['__getattr__'] = __getattr__
        module.__dict__['__dir__'] = lambda: sorted({*module.__dict__, *module.__dict__['__all__']})


def install() -> None:
    """Puts the finder in front of the import system's own finders, once."""
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AliasFinder())


def public_name(name: str) -> object:
    """Returns the object behind ``jina.<name>``.

    Args:
        name: The attribute of the package ``jina``.

    Raises:
        AttributeError: The package has no such name.
        MissingExtraError: The distribution that owns the name isn't installed.
        ImportError: The name comes with a later version.
    """
    return _resolve('jina', PUBLIC, name)


def _resolve(module_name: str, names: Mapping[str, Home], name: str) -> object:
    home = names.get(name)
    path = f'{module_name}.{name}'
    if home is None:
        close = [] if name.startswith('__') else difflib.get_close_matches(name, names, 1)
        hint = f'; did you mean {close[0]!r}?' if close else ''
        raise AttributeError(f'module {module_name!r} has no attribute {name!r}{hint}', name=name)
    if isinstance(home, Later):
        raise ImportError(home.refusal(path), name=module_name)
    module_path, _, attribute = home.partition(':')
    try:
        module = importlib.import_module(module_path)
    except ModuleNotFoundError as error:
        distribution = _INSTALL.get(module_path.split('.')[1]) if module_path.startswith('jina.') else None
        if distribution is None or error.name is None or not module_path.startswith(error.name):
            raise
        raise MissingExtraError(f'{path} (of the distribution {distribution})', install=distribution) from None
    return getattr(module, attribute)
