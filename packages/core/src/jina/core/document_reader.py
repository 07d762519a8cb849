"""The bytes of docarray's messages to documents, by readers compiled once per document class.

A class is compiled from its annotations to one of two plans:

- *direct*: pydantic's validation would give for each field just what was read, and nothing else would happen to the
  document. It is built without validation.
- *validated*: the values are read as docarray reads them, and ``cls(**values)`` makes the document: classes with
  validators, constraints, private attributes, unusual configuration or types that are not known here.

Classes that change how docarray reads them have no plan. Whatever is unexpected in the bytes raises, and the caller lets
docarray convert the document, so that its behaviour and its errors are the ones that users see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast, get_origin

from docarray import BaseDoc, DocList
from docarray.base_doc import AnyDoc
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.base_doc.mixins import IOMixin
from docarray.proto import DocProto, NodeProto
from pydantic import BaseModel

from jina.core.assignment import quicken_assignments
from jina.core.node_readers import MAX_DEPTH, locator, read_raw, typed_reader
from jina.core.payloads import Message
from jina.core.protobuf_bytes import UNUSUAL, entries, items, payload, read_varint, whole
from jina.core.skeletons import Skeletons
from jina.core.tensor_readers import Reader, same_methods
from jina.core.weak_types import TypeCache

DocReader = Callable[[bytes, int, int, int], Any]
"""Takes the data, position and end of a ``DocProto``, and the depth of documents; returns the document."""


class _Plan:
    """How documents of a class are read.

    It lies on the class, since it refers to it: in a cache of ours it would keep the class alive.

    Args:
        read: None if docarray has to read the class.
        skeletons: For a direct plan.
        validator: pydantic's validator of the class; another one says that the class was built anew.
    """

    __slots__ = ('read', 'skeletons', 'validator')

    def __init__(
        self, read: DocReader | None = None, skeletons: Skeletons | None = None, validator: Any = None
    ) -> None:
        self.read = read
        self.skeletons = skeletons
        self.validator = validator

    def __reduce__(self) -> tuple[Any, ...]:
        return _Plan, ()  # a class that travels by value is compiled again where it arrives


_PLAN: Final = '__jina_plan__'
_lists: Final[TypeCache[bool]] = TypeCache()
_set_values, _set_fields_set, _set_extra, _set_private = (
    BaseModel.__dict__[name].__set__
    for name in ('__dict__', '__pydantic_fields_set__', '__pydantic_extra__', '__pydantic_private__')
)
"""What sets the parts of a document. Pydantic's own ``__setattr__`` is not for them, and object's looks the slots up."""
_LONG_NAME: Final = 128
"""Bytes of a field name from which on its length takes more than one byte."""

_HARMLESS: Final = frozenset(
    {
        'validate_assignment',
        'json_encoders',
        'json_schema_extra',
        'arbitrary_types_allowed',
        'title',
        'use_attribute_docstrings',
        'protected_namespaces',
        '_load_extra_fields_from_protobuf',
    }
)
"""Configuration that has nothing to do with what becomes of valid values."""

_PASSIVE: Final = frozenset({'__init__', 'validate_model_before', '_validate'})


def read_docs(data: bytes, position: int, end: int, list_type: type[DocList[Any]]) -> DocList[Any]:
    """Reads a ``DocListProto``.

    Args:
        data: Bytes with the message.
        position: Where it begins.
        end: Where it ends.
        list_type: Class of the list, typed or not.

    Raises:
        Exception: docarray has to do it, or to say what is wrong.
    """
    doc_type: Any = list_type.doc_type
    plan = _plan(doc_type)
    read = plan.read
    if read is None or not _is_plain_list(list_type):
        raise ValueError(UNUSUAL)
    if plan.skeletons is not None:
        docs = _read_alike(read, plan.skeletons, data, (position, end), doc_type)
    else:
        docs = [_read_document(read, doc_type, data, *bounds) for bounds in items(data, position, end)]
    return list_type(docs, validate_input_docs=False)


def _read_document(read: DocReader, doc_type: Any, data: bytes, start: int, stop: int) -> Any:
    try:
        return read(data, start, stop, 0)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - docarray decides, whatever it is
        return doc_type.from_protobuf(DocProto.FromString(data[start:stop]))


def _read_alike(
    read: DocReader, skeletons: Skeletons, data: bytes, bounds: tuple[int, int], doc_type: Any
) -> list[Any]:
    """Reads documents of a direct class, by the skeletons of those before them if they have the same.

    What is short is written out here, and in ``_make``: a call for each document costs as much as its work.
    """
    docs: list[Any] = []
    message: Any = data
    if type(message) is Message:
        data = cast('bytes', memoryview(data))  # whose bytes are there without a method in Python
    position, end = bounds
    known = skeletons.by_size.get
    copy_names = set(doc_type.model_fields).copy
    new = object.__new__
    hits = 0
    while position < end:
        if data[position] != 10:
            raise ValueError(UNUSUAL)
        size, start = data[position + 1], position + 2
        if size > 127:
            more = data[start]
            if more < 128:
                size += (more << 7) - 128
                start += 1
            else:
                size, start = read_varint(data, position + 1)
        position = start + size
        if position > end:
            raise ValueError(UNUSUAL)
        skeleton = known(size)
        if skeleton is not None:
            unpack, bones, fields = skeleton
            parts = unpack(data, start)
            if parts[::2] == bones:
                try:
                    values = {}
                    for name, convert, place in fields:
                        values[name] = convert(parts[place])
                except MemoryError:
                    raise
                except Exception:  # noqa: BLE001 - docarray decides, whatever it is
                    docs.append(doc_type.from_protobuf(DocProto.FromString(message[start:position])))
                    continue
                doc = new(doc_type)
                _set_values(doc, values)
                _set_fields_set(doc, copy_names())
                _set_extra(doc, None)
                _set_private(doc, None)
                docs.append(doc)
                hits += 1
                continue
        docs.append(_read_document(read, doc_type, message, start, position))
        skeletons.learn(message, start, position)
    skeletons.count(hits)
    return docs


def read_doc(data: bytes, doc_type: type[BaseDoc]) -> BaseDoc:
    """Reads a ``DocProto``.

    Raises:
        Exception: docarray has to do it, or to say what is wrong.
    """
    read = _plan(doc_type).read
    if read is None:
        raise ValueError(UNUSUAL)
    doc: BaseDoc = read(data, 0, len(data), 0)
    return doc


def _plan(kind: Any) -> _Plan:
    """Returns the plan of a document class, made now if need be."""
    plan: _Plan | None = kind.__dict__.get(_PLAN)
    if plan is None or plan.validator is not kind.__pydantic_validator__:
        plan = _compile(kind)
        plan.validator = kind.__pydantic_validator__
        if kind.__pydantic_complete__:
            setattr(kind, _PLAN, plan)
    return plan


def _compile(kind: Any) -> _Plan:
    if not kind.__pydantic_complete__:
        return _Plan()  # docarray's first document of the class completes it
    if kind is AnyDoc:
        return _Plan(_untyped_reader())
    if not _reads_as_docarray(kind):
        return _Plan()
    if _is_direct(kind):
        quicken_assignments(kind)
        annotations = {name: info.annotation for name, info in kind.model_fields.items()}
        readers = {name: typed_reader(kind, nested=_typed_nested) for name, kind in annotations.items()}
        known = {name: read for name, read in readers.items() if read is not None}
        if len(known) == len(readers):
            locators = {name: locator(annotations[name], read) for name, read in known.items()}
            return _Plan(_direct_reader(kind, known), Skeletons(locators))
    return _Plan(_validated_reader(kind, {name: _raw_reader(kind, name) for name in kind.model_fields}))


def _reads_as_docarray(kind: Any) -> bool:
    """Returns True if a class leaves all of docarray's methods for reading as they are."""
    return (
        same_methods(kind, IOMixin, 'from_protobuf', '_get_content_from_node_proto', '_get_field_annotation_array')
        and same_methods(kind, BaseDocWithoutId, '_get_field_annotation', '_get_field_inner_type', '_docarray_fields')
        and not kind.model_config.get('_load_extra_fields_from_protobuf')
    )


def _is_direct(kind: Any) -> bool:
    """Returns True if making a document of a class from valid values is to store them."""
    return (
        _accepts_instances(kind)
        and (kind.__init__ is BaseModel.__init__ or _is_passive(kind.__init__))
        and kind.__new__ is object.__new__
        and type(kind).__call__ is type.__call__
        and kind.__pydantic_post_init__ is None
        and not kind.__private_attributes__
        and not kind.__pydantic_root_model__
        and all(name in _HARMLESS or name == 'extra' for name in kind.model_config)
        and kind.model_config.get('extra') in (None, 'ignore', 'forbid')
        and all(
            not info.metadata
            and info.alias is None
            and info.validation_alias is None
            and info.discriminator is None
            and not info.frozen
            and len(name.encode()) < _LONG_NAME
            for name, info in kind.model_fields.items()
        )
    )


def _accepts_instances(kind: Any) -> bool:
    """Returns True if pydantic leaves a document of a class alone when it is a value in another one."""
    decorators = kind.__pydantic_decorators__
    return (
        not decorators.validators
        and not decorators.field_validators
        and not decorators.root_validators
        and all(
            _is_passive(decorator.func) and _is_passive(getattr(kind, '_validate', decorator.func))
            for decorator in decorators.model_validators.values()
        )
        and same_methods(kind, BaseModel, '__get_pydantic_core_schema__')
        and kind.model_config.get('revalidate_instances', 'never') == 'never'
    )


def _is_passive(function: Any) -> bool:
    """Returns True for what docarray's own document classes do only to texts, bytes and tensors given instead of fields."""
    # By name: the classes are many modules, which need not be imported for this.
    return str(getattr(function, '__module__', '')).startswith('docarray.documents.') and function.__name__ in _PASSIVE


def _is_plain_list(kind: Any) -> bool:
    """Returns True for document lists that docarray reads by its own methods, document by document."""
    known = _lists.get(kind)
    if known is None:
        known = _lists.put(
            kind,
            issubclass(kind, DocList)
            and same_methods(kind, DocList, 'from_protobuf')
            and kind.__init__ is DocList.__init__
            and kind.__new__ is DocList.__new__,
        )
    return known


def _typed_nested(annotation: Any) -> Reader | None:
    """Returns the reader for documents, or a list of them, in a field of a direct class."""
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseDocWithoutId):
        return _document_reader(annotation) if _accepts_instances(annotation) else None
    return _list_reader(annotation)


def _raw_reader(kind: Any, name: str) -> Reader:
    """Returns the reader that gives what docarray passes to the validation of a field."""
    annotation = kind._get_field_annotation(name)
    if isinstance(annotation, type) and not get_origin(annotation) and issubclass(annotation, BaseDocWithoutId):
        return _with_documents(58, _document_reader(annotation))
    of_documents = _list_reader(annotation)
    return read_raw if of_documents is None else _with_documents(66, of_documents)


def _with_documents(tag: int, read: Reader) -> Reader:
    def read_with_documents(data: bytes, position: int, stop: int, depth: int) -> Any:
        if position < stop and data[position] == tag:
            return read(data, position, stop, depth)
        return read_raw(data, position, stop, depth)

    return read_with_documents


def _document_reader(kind: Any) -> Reader:
    def read_document(data: bytes, position: int, stop: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(UNUSUAL)
        start = whole(data, position, stop, 58)
        return _read_nested(kind, data, start, stop, depth + 1)

    return read_document


def _list_reader(annotation: Any) -> Reader | None:
    list_type: Any = get_origin(annotation) or annotation
    if not isinstance(list_type, type) or not issubclass(list_type, DocList) or not _is_plain_list(list_type):
        return None

    def read_list(data: bytes, position: int, stop: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(UNUSUAL)
        start = whole(data, position, stop, 66)
        docs = [_read_nested(list_type.doc_type, data, *bounds, depth + 1) for bounds in items(data, start, stop)]
        return list_type(docs, validate_input_docs=False)

    return read_list


def _read_nested(kind: Any, data: bytes, start: int, stop: int, depth: int) -> Any:
    read = _plan(kind).read
    if read is None:
        return kind.from_protobuf(DocProto.FromString(data[start:stop]))
    return read(data, start, stop, depth)


def _direct_reader(kind: Any, readers: dict[str, Any]) -> DocReader:
    """Returns the reader that builds documents without validation."""
    by_head = _heads(readers)
    names = list(readers)
    fields_set = set(names)

    def read_direct(data: bytes, position: int, end: int, depth: int) -> Any:
        values: dict[str, Any] = {}
        while position < end:
            if data[position] != 10:
                raise ValueError(UNUSUAL)
            size = data[position + 1]
            inner = position + 2
            if size > 127:
                # Lengths of two bytes are read here: most fields with a tensor have them, and a call is slow.
                more = data[inner]
                if more < 128:
                    size += (more << 7) - 128
                    inner += 1
                else:
                    size, inner = read_varint(data, position + 1)
            position = inner + size
            start = inner + data[inner + 1] + 3
            known = by_head.get(data[inner:start])
            if known is None:
                _skip_entry(data, inner, position, readers)
                continue
            size = data[start]
            start += 1
            if size > 127:
                more = data[start]
                if more < 128:
                    size += (more << 7) - 128
                    start += 1
                else:
                    size, start = read_varint(data, start - 1)
            if start + size != position:
                raise ValueError(UNUSUAL)
            name, read = known
            values[name] = read(data, start, position, depth)
        if position != end:
            raise ValueError(UNUSUAL)
        if list(values) != names:
            return _make_incomplete(kind, values, names)
        return _make(kind, values, fields_set.copy())

    return read_direct


def _make_incomplete(kind: Any, values: dict[str, Any], names: list[str]) -> Any:
    """Returns a document with values that are valid, but perhaps not all, or not in the order of the fields."""
    if len(values) != len(names):
        return kind(**values)
    return _make(kind, {name: values[name] for name in names}, set(names))


def _make(kind: Any, values: dict[str, Any], fields_set: set[str]) -> Any:
    """Returns a document with values that are known to be valid."""
    doc = object.__new__(kind)
    _set_values(doc, values)
    _set_fields_set(doc, fields_set)
    _set_extra(doc, None)
    _set_private(doc, None)
    return doc


def _heads(readers: dict[str, Any]) -> dict[bytes, tuple[str, Any]]:
    """Returns the readers by how the entries of their fields begin: the key, and the tag of the node."""
    keys = {name: name.encode() for name in readers}
    return {b'\n%c%b\x12' % (len(key), key): (name, readers[name]) for name, key in keys.items()}


def _skip_entry(data: bytes, position: int, stop: int, readers: dict[str, Any]) -> None:
    """Passes over an entry of a field that the class doesn't have."""
    start, cut = payload(data, position, stop, 10)
    if data[start:cut].decode() in readers:
        raise ValueError(UNUSUAL)
    # Protobuf looks into the fields that nobody asks for, and refuses broken ones.
    NodeProto.FromString(data[whole(data, cut, stop, 18) : stop])


def _validated_reader(kind: Any, readers: dict[str, Reader]) -> DocReader:
    """Returns the reader that lets pydantic make the documents."""

    def read_validated(data: bytes, position: int, end: int, depth: int) -> Any:
        values = {}
        for name, start, stop in entries(data, position, end):
            read = readers.get(name)
            if read is None:
                NodeProto.FromString(data[start:stop])
            else:
                values[name] = read(data, start, stop, depth)
        return kind(**values)

    return read_validated


def _untyped_reader() -> DocReader:
    """Returns the reader for ``AnyDoc``, which keeps whatever comes."""

    def read_untyped(data: bytes, position: int, end: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(UNUSUAL)
        values = {}
        while position < end:
            # Short entries are read here: a generator and a call for each of their parts would cost several times as much.
            size, start = data[position + 1], position + 2
            stop = start + size
            cut = start + 2 + data[start + 1]
            if (
                data[position] == 10
                and size < 128
                and stop <= end
                and data[start] == 10
                and cut + 2 <= stop
                and data[cut] == 18
                and cut + 2 + data[cut + 1] == stop
            ):
                values[data[start + 2 : cut].decode()] = read_value(data, cut + 2, stop, depth)
            else:
                start, stop = payload(data, position, end, 10)
                begin, cut = payload(data, start, stop, 10)
                values[data[begin:cut].decode()] = read_value(data, whole(data, cut, stop, 18), stop, depth)
            position = stop
        if 'id' not in values or 'self' in values:
            raise ValueError(UNUSUAL)
        return _make(AnyDoc, {'id': values['id'], **values}, set())

    def read_value(data: bytes, position: int, stop: int, depth: int) -> Any:
        tag = data[position] if position < stop else 0
        if tag == 58:
            return read_untyped(data, whole(data, position, stop, 58), stop, depth + 1)
        if tag == 66:
            bounds = items(data, whole(data, position, stop, 66), stop)
            return DocList(
                [read_untyped(data, start, end, depth + 1) for start, end in bounds], validate_input_docs=False
            )
        return read_raw(data, position, stop, depth)

    return read_untyped
