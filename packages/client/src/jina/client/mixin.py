"""The calls that Client, Deployment and Flow share. Each is one implementation, in the client that they lead to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partialmethod
from typing import TYPE_CHECKING, Any

from jina.client.arguments import check_document, check_endpoint, check_target, whole_number
from jina.client.callbacks import Callback, Callbacks
from jina.client.inputs import InputType
from jina.client.options import check_extras
from jina.client.post import PostCall, fill_parameters
from jina.client.results import ReturnShape
from jina.client.retry import RetryPolicy
from jina.client.transports.base import CallOptions, travel_options
from jina.core.errors import InputError
from jina.core.request import SingleDocumentRequest

if TYPE_CHECKING:
    from docarray import BaseDoc, DocList
    from jina.client.client import BaseClient
    from jina.client.options import PostExtras
    from pydantic import BaseModel
    from typing_extensions import Unpack

__all__ = ['HealthCheckMixin', 'MutateMixin', 'PostMixin', 'ProfileMixin']


class _HasClient(ABC):
    @property
    @abstractmethod
    def client(self) -> BaseClient:
        """The client that makes the calls."""


class PostMixin(_HasClient):
    """Sends documents."""

    def post(  # noqa: PLR0913 - the documented signature
        self,
        on: str,
        inputs: InputType = None,
        on_done: Callback | None = None,
        on_error: Callback | None = None,
        on_always: Callback | None = None,
        parameters: Mapping[str, Any] | BaseModel | None = None,
        target_executor: str | None = None,
        request_size: int = 100,
        show_progress: bool = False,
        continue_on_error: bool = False,
        return_responses: bool = False,
        max_attempts: int = 1,
        initial_backoff: float = 0.5,
        max_backoff: float = 2,
        backoff_multiplier: float = 1.5,
        results_in_order: bool = False,
        stream: bool = True,
        prefetch: int | None = None,
        return_type: type[DocList[Any]] | type[BaseDoc] | None = None,
        **extras: Unpack[PostExtras],
    ) -> Any:
        """Sends documents to an endpoint and returns what comes back.

        Args:
            on: The endpoint, for example ``'/index'``.
            inputs: One document, an iterable of documents (list, DocList, generator), a function that returns such,
                an asynchronous generator, or None for a request without documents. Read lazily.
            on_done: Called with each response that no Executor failed on.
            on_error: Called with each response that an Executor failed on; the error isn't raised then.
            on_always: Called with each response, last. With ``on_done`` or ``on_always`` nothing is returned.
            parameters: Arguments for the Executors, a dict or a pydantic model. ``name__key`` is for one Executor.
            target_executor: Regular expression; only Executors whose names it matches from the start get the request.
            request_size: Documents per request; 0 or less puts all into one.
            show_progress: True shows a progress bar.
            continue_on_error: True logs the failure of an Executor, or of a callback, and goes on.
            return_responses: True returns the responses instead of the documents in them.
            max_attempts: How often a request is sent at most when the network fails, the first time included.
            initial_backoff: Longest pause before the second attempt, in seconds.
            max_backoff: Longest pause before any attempt, in seconds.
            backoff_multiplier: Growth of the longest pause per attempt. Pauses are random.
            results_in_order: True gives the results in the order of the inputs.
            stream: gRPC only: False makes one call per request instead of one stream for all.
            prefetch: How many requests may be in flight, 0 for no limit. Default: that of the client.
            return_type: ``DocList[MyDoc]``, or ``MyDoc`` to get a single document without its list. Default: ``DocList``.
            extras: ``metadata``, ``compression``, ``timeout``: see ``PostExtras``.

        Returns:
            A DocList with the documents of all requests (or a document, see ``return_type``), a list of responses
            (``return_responses``), or None (callbacks). With an asynchronous client: an asynchronous iterator that
            yields these per request, as they come.

        Raises:
            RemoteError: An Executor failed.
            TransportError: The network failed. It is a ``ConnectionError``.
            InputError: The inputs hold something that can't be sent.
            CallbackError: A callback raised.
            SchemaError: What came back doesn't fit ``return_type``.
        """
        check_extras(extras, 'post')
        client = self.client
        check_endpoint(on)
        check_target(target_executor)
        shape = ReturnShape.of(return_type)
        call = PostCall(
            endpoint=on,
            inputs=inputs,
            parameters=parameters,
            target_executor=target_executor,
            request_size=whole_number('request_size', request_size),
            callbacks=Callbacks(on_done, on_error, on_always),
            shape=shape,
            return_responses=return_responses,
            continue_on_error=continue_on_error,
            show_progress=show_progress or client.show_progress,
            options=CallOptions(
                prefetch=client.prefetch if prefetch is None else whole_number('prefetch', prefetch, 0),
                in_order=results_in_order,
                stream=stream,
                retry=RetryPolicy(max_attempts, initial_backoff, max_backoff, backoff_multiplier),
                doc_list_type=shape.doc_list_type,
                **travel_options(extras),
            ),
        )
        client.remark_compression(call.options)
        return client.make_call(call)

    index = partialmethod(post, '/index')
    """``post`` to ``/index``."""
    search = partialmethod(post, '/search')
    """``post`` to ``/search``."""
    update = partialmethod(post, '/update')
    """``post`` to ``/update``."""
    delete = partialmethod(post, '/delete')
    """``post`` to ``/delete``."""

    def stream_doc(
        self,
        on: str,
        inputs: BaseDoc,
        return_type: type[BaseDoc] | None = None,
        parameters: Mapping[str, Any] | BaseModel | None = None,
        target_executor: str | None = None,
        **extras: Unpack[PostExtras],
    ) -> Any:
        """Sends one document to a streaming endpoint and yields the documents that it yields, as they come.

        Args:
            on: The endpoint, for example ``'/generate'``.
            inputs: The document.
            return_type: Type of the documents that come back. Default: untyped ones.
            parameters: Arguments for the Executor, a dict or a pydantic model.
            target_executor: Regular expression for the name of the Executor.
            extras: ``metadata``, ``compression``, ``timeout``: see ``PostExtras``.

        Returns:
            A generator of documents; with an asynchronous client an asynchronous one. Closing it ends the stream, which
            cancels the endpoint's generator.

        Raises:
            RemoteError: The Executor failed, or the endpoint isn't a streaming one.
            TransportError: The network failed. It is a ``ConnectionError``.
            InputError: ``inputs`` are no document.
        """
        check_extras(extras, 'stream_doc')
        check_endpoint(on)
        check_target(target_executor)
        check_document(inputs)
        shape = ReturnShape.of(return_type)
        request = SingleDocumentRequest()
        request.exec_endpoint = on
        if target_executor:
            request.target_executor = target_executor
        request.document = inputs
        if parameters:
            fill_parameters(request, parameters)
        client, options = self.client, CallOptions(doc_list_type=shape.doc_list_type, **travel_options(extras))
        client.remark_compression(options)
        return client.make_stream(request, options)


class MutateMixin(_HasClient):
    """Sends GraphQL. With an asynchronous client the answer is a coroutine."""

    def mutate(
        self,
        mutation: str,
        variables: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    ) -> Any:
        """Sends a GraphQL mutation, or a query, to a server with ``expose_graphql_endpoint=True``.

        Args:
            mutation: GraphQL, for example ``'mutation { docs(data: {text: "abcd"}) { id } }'``.
            variables: Values of its variables, as JSON knows them.
            timeout: Limit in seconds, None for none.
            headers: Headers of the HTTP request.

        Returns:
            The answer as a dict with ``data`` and, if something failed, ``errors``.

        Raises:
            NotSupportedError: The protocol of the client isn't HTTP.
            InputError: The variables can't be sent as JSON.
            ClientError: The server has no GraphQL.
            TransportError: The network failed. It is a ``ConnectionError``.
        """
        if not isinstance(mutation, str):
            raise InputError(
                f'mutation is of type {type(mutation).__name__}: {mutation!r}', hint='give GraphQL as text'
            )
        options = CallOptions(**travel_options({'timeout': timeout, 'headers': headers}))
        return self.client.make_mutation(mutation, variables, options)


class HealthCheckMixin(_HasClient):
    """Asks whether the server is ready. With an asynchronous client the answers are coroutines."""

    def is_flow_ready(self, timeout: float | None = 5.0) -> Any:
        """Returns True if the Flow and all its Executors answer; never raises for a server that can't be reached.

        Args:
            timeout: Limit in seconds, None for none.
        """
        return self.client.make_check(dry_run=True, timeout_s=timeout)

    def is_deployment_ready(self, timeout: float | None = 5.0) -> Any:
        """Returns True if the Deployment answers; never raises for a server that can't be reached.

        Args:
            timeout: Limit in seconds, None for none.
        """
        return self.client.make_check(dry_run=False, timeout_s=timeout)


class ProfileMixin(_HasClient):
    """Measures where the time of a request goes."""

    def profiling(self, show_table: bool = True) -> Any:
        """Sends a request without documents through all Executors and measures its way.

        Over HTTP the time of the server isn't divided among the Executors.

        Args:
            show_table: True prints the measurement as a tree.

        Returns:
            A ``jina.client.profiling.Profile``; with an asynchronous client a coroutine of it.

        Raises:
            TransportError: The network failed.
            ServerError: The server failed.
        """
        return self.client.make_profile(show=show_table)
