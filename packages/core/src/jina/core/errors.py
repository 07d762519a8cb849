"""Every exception that the framework raises, as one tree.

    JinaError
    ├── ConfigError (ValueError)
    │   ├── ConfigSourceError (FileNotFoundError)
    │   ├── YamlVersionError
    │   ├── ImageNameError
    │   └── TopologyError
    │       └── MissingDeploymentError
    ├── SchemaError (TypeError)
    ├── RequestTypeError (TypeError)
    ├── NotSupportedError
    ├── MissingExtraError (ImportError)
    ├── LifecycleError (RuntimeError)
    │   ├── StartupError
    │   │   └── PortInUseError
    │   ├── NotStartedError
    │   ├── ConsensusError
    │   └── TerminatedError
    ├── ContainerError
    ├── ClientError
    │   ├── AccessError
    │   ├── InputError (ValueError)
    │   ├── UnknownEndpointError
    │   └── CallbackError
    ├── ServerError
    │   └── RemoteError
    ├── DocumentErrors
    └── TransportError (ConnectionError)
        ├── ConnectError
        ├── DeadlineError (TimeoutError)
        └── OverloadError

``grpc_code`` and ``http_status`` are the only mapping from a situation to a wire status; servers read them at the edge.
The names that the original package used (``RuntimeFailToStart`` and so on) are importable from ``jina.excepts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class JinaError(Exception):
    """Root of all errors of the framework.

    Args:
        message: What happened, with the offending value.
        hint: What to do about it; appended to the message after a semicolon.
    """

    grpc_code: ClassVar[str] = 'UNKNOWN'
    """Name of the ``grpc.StatusCode`` that a server answers with."""
    http_status: ClassVar[int] = 500
    """HTTP status that a server answers with."""

    def __init__(self, message: str = '', *, hint: str = '') -> None:
        self.hint = hint
        super().__init__(f'{message}; {hint}' if hint else message)


class ConfigError(JinaError, ValueError):
    """An option, a YAML file or an argument is wrong."""

    grpc_code = 'INVALID_ARGUMENT'
    http_status = 422


class ConfigSourceError(ConfigError, FileNotFoundError):
    """A configuration file, module or class can't be found."""


class YamlVersionError(ConfigError):
    """A YAML file declares a schema version that isn't known."""


class ImageNameError(ConfigError):
    """A container image name can't be parsed."""


class TopologyError(ConfigError):
    """The graph of Executors is invalid: a cycle, a duplicate or an unknown name, or schemas that don't fit."""


class MissingDeploymentError(TopologyError):
    """A ``needs`` names a Deployment that doesn't exist."""


class SchemaError(JinaError, TypeError):
    """A document doesn't fit the schema of an endpoint, or the schema itself is invalid."""

    grpc_code = 'INVALID_ARGUMENT'
    http_status = 422


class RequestTypeError(JinaError, TypeError):
    """A message isn't a request of this protocol."""

    grpc_code = 'INVALID_ARGUMENT'
    http_status = 422


class NotSupportedError(JinaError):
    """A documented feature that this version doesn't provide (yet), or a combination that can't work."""

    grpc_code = 'UNIMPLEMENTED'
    http_status = 501


class MissingExtraError(JinaError, ImportError):
    """An optional package is needed and isn't installed.

    Args:
        feature: What the user asked for.
        install: The argument of ``pip install`` that provides it, for example ``"jina-runtime[http]"``.
    """

    def __init__(self, feature: str, *, install: str) -> None:
        super().__init__(f'{feature} is not installed', hint=f'run: pip install "{install}"')


class LifecycleError(JinaError, RuntimeError):
    """A process or an object is in the wrong state for the call."""

    grpc_code = 'UNAVAILABLE'
    http_status = 503


class StartupError(LifecycleError):
    """A pod, a Deployment or a Flow failed to start. The message carries the traceback of the process that failed."""


class PortInUseError(StartupError):
    """Another process listens on the port.

    Args:
        port: The port number.
        owner: Who wanted it, for example ``"Deployment 'enc'"``.
    """

    def __init__(self, port: int, owner: str) -> None:
        self.port = port
        self.owner = owner
        super().__init__(
            f'port {port} is taken by another process ({owner})', hint='free it, or leave out port to get a free one'
        )


class NotStartedError(LifecycleError):
    """The call needs a started Deployment or Flow."""


class ConsensusError(LifecycleError):
    """A replica of a stateful Executor can't take part: its log is damaged, or belongs to others."""


class TerminatedError(LifecycleError):
    """A process ended while it was needed."""


class ContainerError(JinaError):
    """The container engine can't do what is asked for."""


class ClientError(JinaError):
    """The call was wrong: the fault is on the client's side."""

    grpc_code = 'INVALID_ARGUMENT'
    http_status = 400


class AccessError(ClientError):
    """The server asks for a key, and the call has none or a wrong one."""

    grpc_code = 'UNAUTHENTICATED'
    http_status = 401


class InputError(ClientError, ValueError):
    """``inputs`` hold something that can't be sent."""


class UnknownEndpointError(ClientError):
    """No Executor has the endpoint that a request is for."""

    grpc_code = 'NOT_FOUND'
    http_status = 404


class CallbackError(ClientError):
    """A callback raised; the original exception is the cause."""


class ServerError(JinaError):
    """The server answered with an error."""


class RemoteError(ServerError):
    """An Executor raised while it worked on a request.

    Args:
        description: ``repr`` of the exception in the Executor.
        name: Class name of that exception.
        executor: Class name of the Executor.
        request_id: Id of the request.
        remote_args: Arguments of that exception, each as a string.
        stacks: Its formatted traceback, line by line.
    """

    http_status = 499

    def __init__(
        self,
        description: str,
        *,
        name: str = '',
        executor: str = '',
        request_id: str = '',
        remote_args: Sequence[str] = (),
        stacks: Sequence[str] = (),
    ) -> None:
        self.description = description
        self.name = name
        self.executor = executor
        self.request_id = request_id
        self.remote_args = tuple(remote_args)
        self.stacks = tuple(stacks)
        where = f'Executor {executor!r}' if executor else 'the server'
        trace = ''.join(stacks).rstrip()
        super().__init__(f'{where} failed on request {request_id}: {description}' + (f'\n{trace}' if trace else ''))


class DocumentErrors(JinaError):
    """An endpoint failed on some of its documents; with dynamic batching only the requests with these documents fail.

    Args:
        errors: Position of each bad document in the ``docs`` of the call, and what is wrong with it.
        docs: What the endpoint would have returned, as many as it was given; the bad ones may be anything. Left out: the
            documents that it was given, changed in place.
    """

    def __init__(self, errors: Mapping[int, Exception], docs: Any = None) -> None:
        self.errors = dict(errors)
        self.docs = docs
        shown = ', '.join(f'{position}: {error!r}' for position, error in list(self.errors.items())[:10])
        more = ', ...' if len(self.errors) > 10 else ''
        super().__init__(f'{len(self.errors)} of the documents failed: {shown}{more}')


class TransportError(JinaError, ConnectionError):
    """The network between two processes failed.

    Args:
        message: What happened, with the offending value.
        hint: What to do about it; appended to the message after a semicolon.
        code: Name of the ``grpc.StatusCode`` that the peer answered with; empty means the one of this class.
    """

    grpc_code = 'UNAVAILABLE'
    http_status = 503

    def __init__(self, message: str = '', *, hint: str = '', code: str = '') -> None:
        super().__init__(message, hint=hint)
        self.code = code or self.grpc_code


class ConnectError(TransportError):
    """Nothing answers at an address."""


class DeadlineError(TransportError, TimeoutError):
    """A call took longer than its time limit."""

    grpc_code = 'DEADLINE_EXCEEDED'
    http_status = 504


class OverloadError(TransportError):
    """The server works on as many requests as it may, and as many wait. It has not begun with this one."""

    grpc_code = 'RESOURCE_EXHAUSTED'
    MARK: ClassVar[str] = 'works at its limit'
    """Words in every message: a peer tells by them that RESOURCE_EXHAUSTED is no message that is too long."""
