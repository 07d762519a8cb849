"""How an Executor class travels to the process that runs it.

A class goes *by reference* (its import path) when the pod can import the same file by the same name; it goes *by value*
(cloudpickle) when it lives in ``__main__``, in a notebook cell, in ``exec``-uted text or in a module that only the parent
process can find.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import operator
import os
import pickle
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

import cloudpickle
from jina.core.errors import ConfigError

if typing.TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_NAMESPACE: Final = '__pydantic_parent_namespace__'
_NO_FILE: Final = '<dynamic-code>'
_ALIASES: tuple[type[Any], ...] = (types.GenericAlias, type(typing.List[int]))  # noqa: UP006 - the class of the alias is meant


def dumps(value: Any) -> bytes:
    """Serialise the specification of a pod.

    Args:
        value: Anything that cloudpickle accepts; classes are sent by reference or by value as this module's docstring says.

    Raises:
        ConfigError: Something in ``value`` can't be serialised, for example a lock or an open file that an Executor class
            of the main script refers to.
    """
    by_value = _modules_by_value(value)
    for item in _leaves(value):
        if isinstance(item, type) and _goes_by_value(item, by_value):
            _resolve_annotations(item)
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f'an Executor class refers to something that can not be sent to its process: {error}',
            hint='create it in the __init__ of the Executor, or put the class into a module and pass its import path as uses',
        ) from error
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return buffer.getvalue()


def importable_by_name(module: types.ModuleType) -> bool:
    """Whether a fresh interpreter with the same ``sys.path`` finds the same file under the module's name."""
    name = module.__name__
    if name == '__main__' or sys.modules.get(name) is not module:
        return False
    # The framework runs in the pod too; its distributions may lie in several folders, which no finder knows of beforehand.
    if name in sys.builtin_module_names or name.partition('.')[0] in (*sys.stdlib_module_names, 'jina'):
        return True
    spec = _find_spec(name)
    if spec is None:
        return False
    file = getattr(module, '__file__', None)
    if file is None or spec.origin is None:
        return file is None and spec.origin is None
    return bool(os.path.realpath(spec.origin) == os.path.realpath(file))


def _find_spec(name: str) -> ModuleSpec | None:
    """Ask the import system as if nothing had been imported yet."""
    path: Any = None
    spec: ModuleSpec | None = None
    parts = name.split('.')
    for depth in range(1, len(parts) + 1):
        full = '.'.join(parts[:depth])
        spec = None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = find(full, path) if find else None
            if spec is not None:
                break
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and depth < len(parts):
            return None
    return spec


def _modules_by_value(value: Any) -> list[types.ModuleType]:
    """The modules of the classes in ``value``, and what they use in turn, that a pod can't import."""
    found: dict[str, types.ModuleType] = {}
    checked: set[str] = {'__main__'}  # cloudpickle always takes __main__ by value
    pending = [module for module in map(_module_of, _leaves(value)) if module]
    main = sys.modules.get('__main__')
    if any(module is main for module in pending) and main is not None:
        pending += _used_by(main)
    while pending:
        module = pending.pop()
        if module.__name__ in checked:
            continue
        checked.add(module.__name__)
        if not importable_by_name(module):
            if sys.modules.get(module.__name__) is not module:
                continue  # cloudpickle sends what belongs to no registered module by value anyway
            found[module.__name__] = module
            pending += _used_by(module)
    return list(found.values())


def _goes_by_value(kind: type, by_value: list[types.ModuleType]) -> bool:
    module = sys.modules.get(kind.__module__)
    if module is None or module.__name__ == '__main__' or module in by_value:
        return True
    found: Any = module
    for part in kind.__qualname__.split('.'):
        found = getattr(found, part, None)
    return found is not kind


def _resolve_annotations(kind: type) -> None:
    """Replace annotations that are text by what they mean here.

    A function that goes by value takes along the globals that its code uses, not those that only its annotations name.
    """
    for function in vars(kind).values():
        plain = inspect.unwrap(function) if callable(function) else function
        if not isinstance(plain, types.FunctionType):
            continue
        for name, annotation in list(plain.__annotations__.items()):
            if isinstance(annotation, str):
                with contextlib.suppress(Exception):  # the pod reports a name that isn't there, with the method's name
                    plain.__annotations__[name] = eval(annotation, plain.__globals__, dict(vars(kind)))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _leaves(item)
    elif not isinstance(value, type) and hasattr(type(value), 'model_fields'):
        for name in type(value).model_fields:
            yield from _leaves(getattr(value, name))
    elif isinstance(value, type):
        yield from value.__mro__
    else:
        yield value


def _module_of(value: Any) -> types.ModuleType | None:
    if isinstance(value, types.ModuleType):
        return value
    name = getattr(value, '__module__', None)
    return sys.modules.get(name) if isinstance(name, str) else None


def _used_by(module: types.ModuleType) -> list[types.ModuleType]:
    used = [value for value in vars(module).values() if isinstance(value, (type, types.FunctionType, types.ModuleType))]
    return [found for found in map(_module_of, used) if found is not None and found is not module]


def _typed_array(base: Any, item: Any, fields: tuple[str, ...]) -> Any:
    """``DocList[item]`` again; ``item`` may still be a class whose attributes arrive later in the same pickle."""
    if '__pydantic_fields__' not in vars(item):
        item.__pydantic_fields__ = dict.fromkeys(fields)
    return base[item]


def _typed_array_class(base: Any, item: Any, fields: tuple[str, ...]) -> Any:
    alias = _typed_array(base, item, fields)
    return getattr(alias, '__origin__', alias)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, plus the parametrised classes of docarray: ``DocList[Doc]`` and ``NdArray[768]``.

    Both are made on the fly by ``__class_getitem__`` and cached there, so they have to be made by it again.
    """

    def reducer_override(self, obj: Any) -> Any:
        """Called for every object that isn't a plain built-in value."""
        if isinstance(obj, _ALIASES):
            made = _array_arguments(getattr(obj, '__origin__', None))
            if made and getattr(obj, '__args__', ()) == (made[1],):
                return _typed_array, made
        elif isinstance(obj, type):
            made = _array_arguments(obj)
            if made:
                return _typed_array_class, made
            plain = obj.__dict__.get('__unparametrizedcls__')
            if plain is not None:
                return operator.getitem, (plain, obj.__dict__['__docarray_target_shape__'])
            return _without_bystanders(obj, super().reducer_override(obj))
        elif isinstance(obj, types.CodeType):
            return _with_its_file(obj, self.dispatch_table[types.CodeType](obj))
        return super().reducer_override(obj)


def _with_its_file(code: types.CodeType, reduced: tuple[Any, tuple[Any, ...]]) -> tuple[Any, tuple[Any, ...]]:
    """Puts back the file name that recent versions of cloudpickle take out: tracebacks in the pod show the source by it."""
    function, arguments = reduced
    named = (code.co_filename if isinstance(item, str) and item == _NO_FILE else item for item in arguments)
    return function, tuple(named)


def _without_bystanders(kind: type, reduced: Any) -> Any:
    """Takes out of a pydantic class what pydantic noted of the function that defines it: all of its local variables.

    Only classes among them can be what an annotation names; a running Deployment would not even pickle.
    """
    if not isinstance(reduced, tuple) or not kind.__dict__.get(_NAMESPACE):
        return reduced
    function, arguments, (attributes, slots), *rest = reduced
    classes = {name: value for name, value in kind.__dict__[_NAMESPACE].items() if _is_class(value)}
    return function, arguments, ({**attributes, _NAMESPACE: classes}, slots), *rest


def _is_class(value: Any) -> bool:
    # pydantic wraps what can be referred to weakly
    return isinstance(value() if type(value).__name__ == '_PydanticWeakRef' else value, type)


def _array_arguments(origin: Any) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Arguments that make a typed DocList or DocVec class again, or None for anything else."""
    if not isinstance(origin, type) or 'doc_type' not in origin.__dict__:
        return None
    base = origin.__bases__[0]
    item = origin.__dict__['doc_type']
    made = getattr(base, '__typed_da__', {}).get(base, {})
    if item not in made:
        return None
    alias = made[item]
    if getattr(alias, '__origin__', alias) is not origin:
        return None
    return base, item, tuple(item.model_fields)
