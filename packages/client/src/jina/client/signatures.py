"""What the calls return, for type checkers. The calls themselves are in :mod:`jina.client.mixin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.client.mixin import HealthCheckMixin, MutateMixin, PostMixin, ProfileMixin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator, Mapping, Sequence
    from typing import Any, Literal, TypeVar, overload

    from docarray import BaseDoc, DocList
    from jina.client.callbacks import Callback
    from jina.client.inputs import InputType
    from jina.client.options import PostKeywords, StreamKeywords
    from jina.client.profiling import Profile
    from jina.core.request import Response
    from typing_extensions import Unpack

    _Doc = TypeVar('_Doc', bound=BaseDoc)

__all__ = ['AsyncCalls', 'SyncCalls']


class SyncCalls(PostMixin, MutateMixin, HealthCheckMixin, ProfileMixin):
    """Calls that block and return results."""

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def post(
            self, on: str, inputs: InputType = None, *, on_done: Callback, **more: Unpack[PostKeywords]
        ) -> None: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, on_always: Callback, **more: Unpack[PostKeywords]
        ) -> None: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, return_responses: Literal[True], **more: Unpack[PostKeywords]
        ) -> list[Response]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, return_type: type[DocList[_Doc]], **more: Unpack[PostKeywords]
        ) -> DocList[_Doc]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, return_type: type[_Doc], **more: Unpack[PostKeywords]
        ) -> _Doc: ...

        @overload
        def post(self, on: str, inputs: InputType = None, **more: Unpack[PostKeywords]) -> DocList[Any]: ...

        def post(self, *args: Any, **kwargs: Any) -> Any:
            """Sends documents, see ``PostMixin.post``."""

        @overload  # type: ignore[override]
        def stream_doc(
            self, on: str, inputs: BaseDoc, return_type: type[_Doc], **more: Unpack[StreamKeywords]
        ) -> Generator[_Doc, None, None]: ...

        @overload
        def stream_doc(
            self, on: str, inputs: BaseDoc, **more: Unpack[StreamKeywords]
        ) -> Generator[Any, None, None]: ...

        def stream_doc(self, *args: Any, **kwargs: Any) -> Any:
            """Streams documents, see ``PostMixin.stream_doc``."""

        def mutate(
            self,
            mutation: str,
            variables: Mapping[str, Any] | None = None,
            timeout: float | None = None,
            headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        ) -> dict[str, Any]: ...

        def is_flow_ready(self, timeout: float | None = 5.0) -> bool: ...

        def is_deployment_ready(self, timeout: float | None = 5.0) -> bool: ...

        def profiling(self, show_table: bool = True) -> Profile: ...


class AsyncCalls(PostMixin, MutateMixin, HealthCheckMixin, ProfileMixin):
    """Calls that are asynchronous iterators and coroutines."""

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def post(
            self, on: str, inputs: InputType = None, *, on_done: Callback, **more: Unpack[PostKeywords]
        ) -> AsyncGenerator[DocList[Any], None]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, on_always: Callback, **more: Unpack[PostKeywords]
        ) -> AsyncGenerator[DocList[Any], None]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, return_responses: Literal[True], **more: Unpack[PostKeywords]
        ) -> AsyncGenerator[Response, None]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, return_type: type[DocList[_Doc]], **more: Unpack[PostKeywords]
        ) -> AsyncGenerator[DocList[_Doc], None]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, *, return_type: type[_Doc], **more: Unpack[PostKeywords]
        ) -> AsyncGenerator[_Doc, None]: ...

        @overload
        def post(
            self, on: str, inputs: InputType = None, **more: Unpack[PostKeywords]
        ) -> AsyncGenerator[DocList[Any], None]: ...

        def post(self, *args: Any, **kwargs: Any) -> Any:
            """Sends documents, see ``PostMixin.post``."""

        @overload  # type: ignore[override]
        def stream_doc(
            self, on: str, inputs: BaseDoc, return_type: type[_Doc], **more: Unpack[StreamKeywords]
        ) -> AsyncGenerator[_Doc, None]: ...

        @overload
        def stream_doc(self, on: str, inputs: BaseDoc, **more: Unpack[StreamKeywords]) -> AsyncGenerator[Any, None]: ...

        def stream_doc(self, *args: Any, **kwargs: Any) -> Any:
            """Streams documents, see ``PostMixin.stream_doc``."""

        def mutate(
            self,
            mutation: str,
            variables: Mapping[str, Any] | None = None,
            timeout: float | None = None,
            headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        ) -> Awaitable[dict[str, Any]]: ...

        def is_flow_ready(self, timeout: float | None = 5.0) -> Awaitable[bool]: ...

        def is_deployment_ready(self, timeout: float | None = 5.0) -> Awaitable[bool]: ...

        def profiling(self, show_table: bool = True) -> Awaitable[Profile]: ...
