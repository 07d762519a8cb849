"""Why documents don't fit a type, in terms of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from docarray.base_doc.doc import BaseDocWithoutId

__all__ = ['describe_misfit']

_SHOWN: Final = 5
_LONGEST_VALUE: Final = 60


def describe_misfit(error: Exception, doc_type: type[BaseDocWithoutId], given: Iterable[str] = ()) -> str:
    """Returns which fields of a type a document lacks, or has values for that don't fit.

    Args:
        error: What making the document raised.
        doc_type: The type.
        given: Fields of the document.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - loaded already wherever documents are

    if not isinstance(error, ValidationError):
        return str(error)
    details = error.errors(include_url=False, include_context=False)
    texts = list(dict.fromkeys(_describe(detail, doc_type, given) for detail in details))
    return '; '.join(texts[:_SHOWN]) + (f'; and {len(texts) - _SHOWN} more' if len(texts) > _SHOWN else '')


def _describe(detail: Any, doc_type: type[BaseDocWithoutId], given: Iterable[str]) -> str:
    location = detail['loc']
    field = doc_type.model_fields.get(str(location[0])) if location else None
    # Members of a union would follow, which are no part of the path that the user knows.
    name = '.'.join(map(str, location)) if field is None or detail['type'] == 'missing' else str(location[0])
    wanted = '' if field is None or len(location) > 1 else f' of type {_type_name(field.annotation)}'
    value = detail['input']
    if detail['type'] == 'missing':
        if len(location) > 1 and isinstance(value, Mapping):
            given = map(str, value)
        names = ', '.join(sorted(given))
        return f'the document has no field {name!r}{wanted}' + (f' (it has {names})' if names else '')
    shown = repr(value)
    if len(shown) > _LONGEST_VALUE:
        shown = f'{shown[:_LONGEST_VALUE]}...'
    return f'field {name!r}{wanted} got {shown} of type {type(value).__name__}: {detail["msg"]}'


def _type_name(annotation: Any) -> str:
    """Returns an annotation as a user would write it."""
    if isinstance(annotation, type) and not getattr(annotation, '__args__', None):
        return annotation.__name__
    return str(annotation).replace('typing.', '')
