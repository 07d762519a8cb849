"""A streaming request's way through a graph: as any request up to the Executor that streams, then that Executor's stream."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace

from jina.core.codec import content_of_doc_bytes, iter_doc_bytes
from jina.core.errors import InputError, NotSupportedError
from jina.core.logging.logger import JinaLogger
from jina.core.request import DataRequest, SingleDocumentRequest
from jina.core.topology import REQUEST, Plan, Step
from jina.core.wire import DataRequestProto, SingleDocumentRequestProto
from jina.runtime.discovery import Directory
from jina.runtime.group import Group
from jina.runtime.stream_items import Render, StreamItem, failed_item, received_item, wire_item
from jina.runtime.walker import State, Visit, Walker, merge_states


class StreamRoutes:
    """Takes streaming requests through a compiled plan.

    Args:
        plan: The graph.
        groups: Connections by name of the Deployment.
        directory: What is known of the endpoints.
        logger: Told about failures in branches that nobody waits for.
    """

    def __init__(self, plan: Plan, groups: Mapping[str, Group], directory: Directory, logger: JinaLogger) -> None:
        self._plan = plan
        self._groups = groups
        self._directory = directory
        self._logger = logger
        self._walkers: dict[tuple[int, bool], Walker] = {}
        self._waits = False

    def among(self, groups: Mapping[str, Group]) -> StreamRoutes:
        """Returns the same routes for requests that wait, by other connections to the same Executors."""
        twin = copy.copy(self)
        twin._groups, twin._waits = groups, True
        return twin

    async def stream(
        self, request: SingleDocumentRequest, timeout: float | None = None, render: Render = wire_item
    ) -> AsyncGenerator[StreamItem, None]:
        """Yields what the last Executor yields for the document, or for each that those before it have made of it.

        Args:
            request: The document and the endpoint.
            timeout: Seconds that the caller still waits; None for no limit.
            render: Turns documents into what is sent.

        Raises:
            TransportError: An Executor can't be reached, takes too long, or its stream broke.
        """
        try:
            visit = Visit(request, len(self._plan.steps), request.trace, timeout)
            step = self._directory.stream_step(visit.endpoint, visit.target)
        except (InputError, NotSupportedError, ValueError) as error:
            yield failed_item(request, error)
            return
        walker = self._walkers.get((step.index, self._waits))
        if walker is None:
            walker = self._walkers[step.index, self._waits] = self._walker_before(step)
        if not walker.steps and step.when is None:
            singles = iter((request,))
        else:
            state = await self._arrive(walker, step, request, visit)
            if state.request.is_error:
                yield SingleDocumentRequest(SingleDocumentRequestProto(header=state.request.header))
                return
            singles = _singles(state.request)
        group = self._groups[step.name]
        for single in singles:
            responses = group.stream_doc(
                single.to_bytes(), visit.endpoint, metadata=visit.metadata, timeout=visit.time_left()
            )
            async with contextlib.aclosing(responses):
                async for raw in responses:
                    item = received_item(raw)
                    if item.is_error:
                        yield item
                        return
                    yield render(item)

    @property
    def floating_branches(self) -> int:
        """Number of branches that no stream waited for and that aren't done."""
        return sum(walker.floating_branches for walker in self._walkers.values())

    async def drain(self, timeout: float | None = None) -> None:
        """Waits for the branches that no stream waited for.

        Args:
            timeout: Seconds; what isn't done by then is cancelled.
        """
        for walker in self._walkers.values():
            await walker.drain(timeout)

    async def _arrive(self, walker: Walker, step: Step, request: SingleDocumentRequest, visit: Visit) -> State:
        """Returns the request as the Executors before a step leave it."""
        start = State(_as_list(request))
        state = await walker.walk_on(start, visit)
        if REQUEST in step.sources and len(step.sources) > 1:
            state = merge_states([start, state])
        if step.when is not None and not state.request.is_error:
            state = walker.filter(step, state, visit)
        return state

    def _walker_before(self, step: Step) -> Walker:
        """Returns what walks the rest of the graph: all but a step and those that come after it."""
        after = {step.index}
        for other in self._plan.steps:
            if after.intersection(other.sources):
                after.add(other.index)
        kept = [other for other in self._plan.steps if other.index not in after]
        moved = {other.index: index for index, other in enumerate(kept)} | {REQUEST: REQUEST}
        steps = tuple(
            replace(other, index=moved[other.index], sources=tuple(moved[source] for source in other.sources))
            for other in kept
        )
        outputs = tuple(moved[source] for source in step.sources if source != REQUEST)
        plan = Plan(
            steps=steps,
            outputs=outputs,
            floating=tuple(moved[index] for index in self._plan.floating if index in moved),
            is_chain=all(other.sources == (other.index - 1,) for other in steps) and outputs == (len(steps) - 1,),
        )
        return Walker(plan, self._groups, self._directory, self._logger)


def _as_list(request: SingleDocumentRequest) -> DataRequest:
    """Returns the request with its document as a list, which is what all but streaming endpoints take."""
    source = request.proto
    proto = DataRequestProto(header=source.header, data=content_of_doc_bytes([source.document]))
    proto.parameters.CopyFrom(source.parameters)
    return DataRequest(proto)


def _singles(request: DataRequest) -> Iterator[SingleDocumentRequest]:
    """Yields the request once for each of its documents."""
    source = request.proto
    for raw in iter_doc_bytes(request.raw_content):
        proto = SingleDocumentRequestProto(header=source.header, document=raw)
        proto.parameters.CopyFrom(source.parameters)
        yield SingleDocumentRequest(proto)
