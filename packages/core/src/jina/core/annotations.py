"""What the annotations of an endpoint method mean: which document type, list or single, which parameters model."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, TypeVar, Union, get_args, get_origin

from jina.core.errors import SchemaError

if TYPE_CHECKING:
    from docarray import BaseDoc
    from pydantic import BaseModel

_STREAMS = (abc.AsyncGenerator, abc.AsyncIterator, abc.AsyncIterable, abc.Generator, abc.Iterator, abc.Iterable)
_UNIONS = (Union, types.UnionType)
_UNTYPED = (None, type(None), Any, inspect.Parameter.empty)


@dataclass(frozen=True)
class Documents:
    """What an annotation says about documents.

    Attributes:
        element: Type of one document; None if the annotation doesn't say.
        is_list: True for a DocList, False for a single document.
    """

    element: type[BaseDoc] | None
    is_list: bool


def annotations_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Returns the annotations as they were written, with ``return``; strings stay strings."""
    signature = inspect.signature(function)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    annotations['return'] = signature.return_annotation
    return {name: value for name, value in annotations.items() if value is not inspect.Parameter.empty}


def names_in_callers(function: Callable[..., Any], depth: int) -> dict[str, Any]:
    """Finds the names that string annotations use and that only the surrounding scopes know.

    A class defined inside a function can't reach that function's local types later, so they are remembered when the
    method is decorated.

    Args:
        function: The method whose annotations are looked at.
        depth: How many frames above this call the class body is.
    """
    wanted = {name for annotation in annotations_of(function).values() for name in _names(annotation)}
    known = vars(builtins).keys() | inspect.unwrap(function).__globals__.keys()
    missing = wanted - known
    found: dict[str, Any] = {}
    frame = sys._getframe(depth) if missing else None
    while frame is not None and frame.f_code.co_name != '<module>':
        found.update((name, frame.f_locals[name]) for name in missing.intersection(frame.f_locals) - found.keys())
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a function; its caller isn't around it in the source
            break
        frame = frame.f_back
    return found


def _names(annotation: Any) -> set[str]:
    """Returns the identifiers in the string parts of an annotation."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return {name for argument in get_args(annotation) for name in _names(argument)}
    try:
        tree = ast.parse(annotation, mode='eval')
    except SyntaxError:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def resolve(annotation: Any, function: Callable[..., Any], scope: Mapping[str, Any], where: str) -> Any:
    """Evaluates the string parts of an annotation.

    Args:
        annotation: What was written.
        function: The method, for its module's names.
        scope: More names: the class body and what ``names_in_callers`` found.
        where: How error messages call the place.

    Raises:
        SchemaError: A name in the annotation isn't known where the method is defined.
    """
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, inspect.unwrap(function).__globals__, dict(scope))
        except Exception as error:
            raise SchemaError(
                f'the annotation {annotation!r} of {where} can not be evaluated: {error}',
                hint='define or import the type at module level (not under TYPE_CHECKING), '
                'or give request_schema and response_schema to @requests',
            ) from error
        return resolve(annotation, function, scope, where)
    if get_origin(annotation) is Annotated:  # its notes may be strings that are no types
        return resolve(get_args(annotation)[0], function, scope, where)
    if not _has_strings(annotation):
        return annotation
    return _rebuild(annotation, tuple(resolve(argument, function, scope, where) for argument in get_args(annotation)))


def _has_strings(annotation: Any) -> bool:
    """Tells whether a part of an annotation still has to be evaluated."""
    if isinstance(annotation, (str, ForwardRef)):
        return True
    return get_origin(annotation) is not typing.Literal and any(map(_has_strings, get_args(annotation)))


def _rebuild(annotation: Any, arguments: tuple[Any, ...]) -> Any:
    origin = get_origin(annotation)
    if origin in _UNIONS:
        return Union[arguments]  # noqa: UP007 - the members are known at run time only
    if isinstance(origin, type) and len(arguments) == 1:
        return origin[arguments[0]]  # type: ignore[index]
    if isinstance(annotation, types.GenericAlias):
        return types.GenericAlias(origin, arguments)
    return annotation.copy_with(arguments)


def branch_documents(annotations: Sequence[Any], where: str) -> Documents:
    """Reads the annotations of ``docs_matrix`` and ``docs_map``: the first document list with a type in them.

    Args:
        annotations: Resolved annotations, for example ``Optional[dict[str, DocList[MyDoc]]]``, or nothing.
        where: How error messages call the place.
    """
    from docarray import DocList  # noqa: PLC0415 - docarray is heavy, importing jina.core must not load it

    for annotation in annotations:
        container = get_origin(annotation) or annotation
        is_list = isinstance(container, type) and issubclass(container, DocList)
        found = documents(annotation, where) if is_list else branch_documents(get_args(annotation), where)
        if found.element is not None:
            return found
    return Documents(None, is_list=True)


def documents(annotation: Any, where: str) -> Documents:
    """Reads a document annotation or a ``request_schema``.

    Args:
        annotation: A resolved annotation: a BaseDoc class, ``DocList[...]``, a union of one of them with dict and None,
            a type variable, an (async) iterator of documents, or nothing.
        where: How error messages call the place.

    Raises:
        SchemaError: The annotation is no document type.
    """
    from docarray import BaseDoc, DocList  # noqa: PLC0415 - docarray is heavy, importing jina.core must not load it
    from docarray.base_doc import AnyDoc  # noqa: PLC0415

    if annotation in _UNTYPED or _is_mapping(annotation):
        return Documents(None, is_list=False)
    if isinstance(annotation, TypeVar):
        bound = annotation.__bound__
        is_class = isinstance(bound, type) and issubclass(bound, BaseDoc)
        return Documents(bound if is_class else BaseDoc, is_list=False)
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return documents(arguments[0], where)
    if origin in _UNIONS:
        return _first_documents(arguments, where)
    if origin is None and isinstance(annotation, type) and issubclass(annotation, BaseDoc):
        return Documents(None if annotation is AnyDoc else annotation, is_list=False)
    container = origin or annotation
    if isinstance(container, type) and issubclass(container, DocList):
        element = getattr(container, 'doc_type', AnyDoc)
        if element is AnyDoc and arguments:
            return Documents(documents(arguments[0], where).element, is_list=True)
        return Documents(None if element is AnyDoc else element, is_list=True)
    if container in _STREAMS and arguments:
        return documents(arguments[0], where)
    if container in (list, abc.Sequence) and arguments:
        return Documents(documents(arguments[0], where).element, is_list=True)
    raise SchemaError(
        f'{where} is {annotation!r}, which is no document type',
        hint='use a subclass of docarray.BaseDoc, or DocList[...] of one',
    )


def _first_documents(arguments: tuple[Any, ...], where: str) -> Documents:
    for argument in arguments:
        if argument not in _UNTYPED and not _is_mapping(argument):
            return documents(argument, where)
    return Documents(None, is_list=False)


def _is_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, abc.Mapping)


def _is_model(annotation: Any) -> bool:
    from pydantic import BaseModel  # noqa: PLC0415 - heavy; whoever has a model has imported it

    # On Python 3.10 list[int] is an instance of type.
    return get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel)


@dataclass(frozen=True)
class ParametersType:
    """What an annotation of ``parameters`` says.

    Attributes:
        model: The pydantic model, or None for a plain dict.
        allows_dict: A dict may be passed when the model doesn't fit.
        allows_none: None may be passed when the client sent no parameters.
    """

    model: type[BaseModel] | None = None
    allows_dict: bool = True
    allows_none: bool = False


def parameters_type(annotation: Any, where: str) -> ParametersType:
    """Reads the annotation of ``parameters``.

    Raises:
        SchemaError: It is neither a mapping nor a pydantic model.
    """
    from pydantic import BaseModel  # noqa: PLC0415 - heavy, defining an Executor must not load it

    if annotation in _UNTYPED or isinstance(annotation, TypeVar):
        return ParametersType()
    origin = get_origin(annotation)
    if origin is Annotated:
        return parameters_type(get_args(annotation)[0], where)
    members = get_args(annotation) if origin in _UNIONS else (annotation,)
    models = [m for m in members if _is_model(m) and m is not BaseModel]
    mappings = [m for m in members if _is_mapping(m) or m is BaseModel or m is Any]
    if len(models) + len(mappings) + (type(None) in members) < len(members) or len(models) > 1:
        raise SchemaError(
            f'{where} is {annotation!r}, which is neither a dict nor one pydantic model',
            hint='annotate parameters with dict or a subclass of pydantic.BaseModel',
        )
    return ParametersType(
        model=models[0] if models else None,
        allows_dict=bool(mappings) or not models,
        allows_none=type(None) in members,
    )
