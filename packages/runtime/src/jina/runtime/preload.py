"""What all pods have in common, for the process that they are forked from: importing this module imports, computes and runs it.

What is there before the fork takes time once, and its memory is shared; what a pod does by itself is paid for by every pod.
"""

from __future__ import annotations

import contextlib
import importlib

import docarray.documents
import jina.runtime.process  # noqa: F401
from jina.core.environment import uvloop_disabled
from jina.core.logging.configuration import read_log_config
from jina.core.schema import EndpointSchema, legacy_document
from jina.runtime.rehearsal import rehearse


def _compute() -> None:
    """Fills the caches that every pod fills: the default logging, the schemas of untyped documents, their validators."""
    read_log_config('default')
    untyped, text = legacy_document(), docarray.documents.TextDoc
    for document in (untyped, text):
        EndpointSchema(document, document).to_dict()


if not uvloop_disabled():
    with contextlib.suppress(ImportError):  # an extra
        importlib.import_module('uvloop')
with contextlib.suppress(ImportError):  # not on Windows
    importlib.import_module('resource')
_compute()
rehearse()
