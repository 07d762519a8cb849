"""Makes two kinds of fields definable that docarray 0.41 fails on.

``DocList[...]``, on Python 3.12 and newer: docarray gives it as a ``types.GenericAlias`` there. ``typing`` evaluates such
an alias by subscribing the typed class with the same document type once more, which docarray refuses ("object is not
subscriptable"), so pydantic can't build the model. The repair lets that one case through: subscribing a typed list with
its own type gives the list that is there already.

``AnyTensor[5]``, everywhere: the class that docarray makes for a shape has a metaclass that doesn't fit the one of
``AnyTensor`` ("metaclass conflict"), and it asks ``AnyTensor`` for the shape of a value, which only the class of the value
knows. The repair joins the metaclasses and asks the value.

Nothing is imported for it: if docarray isn't imported yet, the repair waits until it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import Loader
    from typing import Any

PACKAGE = 'docarray'
LISTS_NEED_IT = sys.version_info >= (3, 12)


def install() -> None:
    """Repairs docarray now if it is imported, otherwise as soon as it is."""
    module = sys.modules.get(PACKAGE)
    if module is not None and hasattr(module, 'DocList'):
        repair(module)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def repair(docarray: ModuleType) -> None:
    """Repairs the list class and the tensor class of docarray, once.

    Args:
        docarray: The imported package.
    """
    if LISTS_NEED_IT:
        _repair_lists(docarray)
    _repair_tensors(docarray.typing.AnyTensor)


def _repair_tensors(any_tensor: Any) -> None:
    metaclass = any_tensor.__parametrized_meta__
    if issubclass(metaclass, type(any_tensor)):
        return

    def __docarray_validate_shape__(cls: Any, tensor: Any, shape: Any) -> Any:
        return type(tensor).__docarray_validate_shape__(tensor, shape)

    any_tensor.__parametrized_meta__ = type(metaclass.__name__, (metaclass, type(any_tensor)), {})
    any_tensor.__docarray_validate_shape__ = classmethod(__docarray_validate_shape__)


def _repair_lists(docarray: ModuleType) -> None:
    subscribe = docarray.DocList.__class_getitem__.__func__
    if getattr(subscribe, 'repaired', False):
        return

    def __class_getitem__(cls: Any, item: Any) -> Any:
        argument = item[0] if isinstance(item, tuple) and len(item) == 1 else item
        if argument is cls.__dict__.get('doc_type') and cls is not docarray.DocList:
            return docarray.DocList[argument]
        return subscribe(cls, item)

    __class_getitem__.repaired = True  # type: ignore[attr-defined]
    docarray.DocList.__class_getitem__ = classmethod(__class_getitem__)


class _Finder:
    """Waits for the import of docarray, then steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """Executes a module with its own loader, then repairs it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        repair(module)
