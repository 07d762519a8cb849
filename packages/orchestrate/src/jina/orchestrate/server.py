"""What a pod of a Deployment or a Flow runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from jina.core.config import DeploymentOptions, ExecutorOptions, GatewayOptions
from jina.core.enums import ProtocolType
from jina.core.errors import ConfigError
from jina.core.executor import BaseExecutor
from jina.core.remote_executor import RemoteExecutor
from jina.core.yaml import load_yaml, registered_class

if TYPE_CHECKING:
    from jina.orchestrate.podmain import Report

_SERVER_MODULES = {
    ProtocolType.HTTP: ('jina.runtime.http.server', 'fastapi', 'uvicorn'),
    ProtocolType.WEBSOCKET: ('jina.runtime.websocket.server', 'websockets'),
}


def server_modules(protocols: Sequence[ProtocolType]) -> tuple[str, ...]:
    """What pods with servers for protocols beside gRPC need in addition; the zygote imports it once."""
    return tuple(module for protocol in protocols for module in _SERVER_MODULES.get(protocol, ()))


def run_server(report: Report, options: ExecutorOptions | GatewayOptions, _classes: Sequence[type]) -> int:
    """Serve until SIGTERM. The classes came along so that ``uses`` finds them by name."""
    from jina.runtime.process import serve  # noqa: PLC0415 - the parent process needs no server

    return serve(options, on_ready=report, on_commands=report.on_commands)


def referenced_classes(options: DeploymentOptions | GatewayOptions) -> list[type]:
    """Classes of Executors, or of a gateway, of this process that ``uses`` names, for example as ``jtype`` of a YAML document.

    A script may define a class and load a configuration that only mentions its name; the pod has never run that script.
    """
    uses = options.uses
    if isinstance(uses, str) and RemoteExecutor.parse(uses) is not None:
        return []  # it isn't of this process
    name: Any = uses
    if isinstance(uses, (dict, str)):
        try:
            name = load_yaml(uses, substitute=False, extra_search_paths=options.extra_search_paths).data.get('jtype')
        except (ConfigError, OSError):
            return []  # the pod reports it
    found: list[Any] = [registered_class(name)] if isinstance(name, str) else []
    if options.reload and isinstance(uses, (dict, str)):
        found += vars(sys.modules['__main__']).values()  # the document may name another one later
    # Where there are no gateways of users, their base class isn't loaded.
    base = BaseExecutor if isinstance(options, DeploymentOptions) else registered_class('BaseGateway')
    return [] if base is None else [kind for kind in found if _is_own(kind, base)]


def portable_uses(uses: Any) -> Any:
    """Returns ``uses`` in a form that reaches another process: a path instead of an open file, text instead of another stream."""
    if isinstance(uses, os.PathLike):
        return os.fspath(uses)
    if not hasattr(uses, 'read') or isinstance(uses, type):
        return uses
    name = getattr(uses, 'name', None)
    if isinstance(name, str) and os.path.isfile(name):
        return os.path.abspath(name)
    text = uses.read()
    return text.decode() if isinstance(text, bytes) else str(text)


def _is_own(found: Any, base: type) -> TypeGuard[type]:
    return isinstance(found, type) and issubclass(found, base) and not found.__module__.startswith('jina.')
