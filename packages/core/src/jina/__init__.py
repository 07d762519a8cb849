"""The public names of the jina serving framework, loaded on first use.

``import jina`` does no work: each name is imported when it is first used, from the distribution that owns it. Import
paths of the original package (``jina.clients``, ``jina.excepts`` and so on) are served by the table in
`jina.core.aliases`.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)  # distributions checked out side by side share this package

from jina.core import aliases as _aliases
from jina.core import docarray_repair as _docarray_repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from docarray import DocList as DocumentArray
    from docarray.documents.legacy import LegacyDocument as Document

    from jina.client import Client
    from jina.core.endpoints import dynamic_batching, monitor, requests, write
    from jina.core.executor import Executor
    from jina.core.version import __version__
    from jina.orchestrate import AsyncTestClient, Deployment, Flow, TestClient
    from jina.runtime.gateways.base import Gateway

__all__ = [
    'AsyncTestClient',
    'Client',
    'Deployment',
    'Document',
    'DocumentArray',
    'Executor',
    'Flow',
    'Gateway',
    'TestClient',
    '__version__',
    'dynamic_batching',
    'monitor',
    'requests',
    'write',
]

_aliases.install()
_docarray_repair.install()


def __getattr__(name: str) -> object:
    value = _aliases.public_name(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
