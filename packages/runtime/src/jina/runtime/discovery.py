"""What a gateway knows about the endpoints of its Executors, and whether they fit together."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from jina.core.errors import NotSupportedError, TopologyError, TransportError
from jina.core.logging.logger import JinaLogger
from jina.core.schema import RemoteEndpoint, field_names, remote_endpoints, schemas_compatible
from jina.core.structs import dict_to_struct
from jina.core.topology import REQUEST, Plan, Step
from jina.core.wire import DEFAULT_ENDPOINT, DRY_RUN_ENDPOINT, EndpointsProto
from jina.runtime.group import Group
from jina.runtime.missing_endpoint import not_streaming

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_TRY_S: Final = 5.0
_FOLLOW_S: Final = 0.5


class Directory:
    """The endpoints of all Executors in a graph.

    Args:
        plan: The graph.
        groups: Connections by name of the Deployment.
        logger: Told about Executors that can't be asked.
    """

    def __init__(self, plan: Plan, groups: Mapping[str, Group], logger: JinaLogger) -> None:
        self._plan = plan
        self._groups = groups
        self._logger = logger
        self._tables: dict[str, dict[str, RemoteEndpoint] | None] = {}
        self._complete = asyncio.Event()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None
        self._warned: set[str] = set()

    async def start(self) -> None:
        """Asks every Executor once; who doesn't answer is asked again in the background.

        Raises:
            TopologyError: Two Executors don't fit together.
        """
        failures = await asyncio.gather(*(self._ask(name) for name in self._groups))
        for name, failure in zip(self._groups, failures, strict=True):
            if failure is not None:
                self._logger.warning('%s; going on to ask deployment %s for its endpoints', failure, name)
                self.refresh(name)
        self._note_progress()
        self.check()

    def learn(self, name: str, endpoints: EndpointsProto) -> None:
        """Takes the endpoints of an Executor that can't be asked, because it doesn't run."""
        self._tables[name] = remote_endpoints(endpoints)

    def refresh(self, name: str) -> None:
        """Asks an Executor again in the background, for example after it came back."""
        task = self._asking.get(name)
        if task is None or task.done():
            self._asking[name] = asyncio.create_task(self._keep_asking(name))

    def follow(self, on_change: Callable[[], object]) -> None:
        """Goes on to ask all Executors, for they may be reloaded, and tells when an endpoint has changed."""
        self._following = asyncio.create_task(self._follow(on_change))

    async def wait(self) -> None:
        """Returns when every Executor has answered at least once."""
        await self._complete.wait()

    @property
    def is_complete(self) -> bool:
        """Whether every Executor has answered at least once."""
        return self._complete.is_set()

    def close(self) -> None:
        """Stops asking."""
        for task in (*self._asking.values(), *([self._following] if self._following else [])):
            task.cancel()

    def known(self, name: str) -> bool:
        """Whether the Executor has answered."""
        return name in self._tables

    def serves(self, name: str, endpoint: str) -> bool:
        """Whether a request to the endpoint concerns an Executor. True as long as that isn't known."""
        table = self._tables.get(name)
        return table is None or endpoint in table or DEFAULT_ENDPOINT in table

    def lookup(self, name: str, endpoint: str) -> RemoteEndpoint | None:
        """Returns what answers requests to an endpoint in an Executor, if that is known."""
        table = self._tables.get(name)
        if table is None:
            return None
        return table.get(endpoint) or (None if endpoint == DRY_RUN_ENDPOINT else table.get(DEFAULT_ENDPOINT))

    def output(self, endpoint: str, target: str | None = None) -> RemoteEndpoint | None:
        """Returns what makes the documents of a response: the last Executor that answers.

        Args:
            endpoint: The endpoint.
            target: Regular expression for the names of the Executors that a request is for; None, or none, for all.
        """
        try:
            pattern = re.compile(target or '')
        except re.error:  # the answer to the request says so
            pattern = re.compile('')
        for step in reversed(self._plan.steps):
            concerned = step.index not in self._plan.floating and pattern.match(step.name)
            found = self.lookup(step.name, endpoint) if concerned else None
            if found is not None:
                return found
        return None

    def stream_step(self, endpoint: str, target: re.Pattern[str] | None = None) -> Step:
        """Returns the Executor that answers a streaming request: the last one that the request concerns.

        Args:
            endpoint: The endpoint.
            target: Matches the names of the Executors that the request is for; None for all.

        Raises:
            NotSupportedError: The Executor that streams isn't the last one, or there are several; or nobody serves the
                endpoint.
            ValueError: It doesn't stream.
        """
        plan = self._plan
        if len(plan.outputs) != 1:
            raise NotSupportedError(
                f'a stream has to come from one Executor, and {len(plan.outputs)} end this Flow',
                hint='stream from a Flow that ends in the streaming Executor',
            )
        concerned = [
            step
            for step in plan.steps
            if self.serves(step.name, endpoint) and (target is None or target.match(step.name))
        ]
        last = plan.steps[plan.outputs[0]]
        while last not in concerned and len(last.sources) == 1 and last.sources[0] != REQUEST:
            last = plan.steps[last.sources[0]]
        found = self.lookup(last.name, endpoint)
        streaming = [step for step in concerned if (at := self.lookup(step.name, endpoint)) and at.is_generator]
        after = {last.index}
        for step in plan.steps:
            if after.intersection(step.sources):
                after.add(step.index)
        others = [step for step in streaming if step is not last]
        behind = [step for step in concerned if step.index in after and step is not last]
        if others or (behind and streaming):
            early, late = (others[0], last) if others else (last, behind[0])
            raise NotSupportedError(
                f'Executor {early.name!r} streams at {endpoint!r}, and Executor {late.name!r} of this Flow comes after it',
                hint='put the streaming Executor last, or let the others not serve this endpoint',
            )
        if last not in concerned and target is not None:
            raise NotSupportedError(
                f'no Executor that target_executor {target.pattern!r} matches streams at {endpoint!r}',
                hint='let it match the Executor that streams',
            )
        if last not in concerned or (found is not None and not found.is_generator):
            raise not_streaming(endpoint, self._streaming())
        return last

    def check(self) -> None:
        """Compares the documents that Executors give with those that the next ones take.

        Raises:
            TopologyError: They don't fit.
        """
        names = self.names()
        for endpoint in names:
            self._check_stream(endpoint)
        for step in self._plan.steps:
            for endpoint in names:
                taken = self.lookup(step.name, endpoint)
                if taken is None or not self.serves(step.name, endpoint):
                    continue
                givers = list(self._givers(step, endpoint))
                if step.when is not None and endpoint == taken.name:
                    self._check_filter(step, taken, [given for _, given in givers])
                # What is merged has the fields of all branches.
                merged = () if step.no_reduce else [given.output_schema for _, given in givers]
                for source, given in givers:
                    if endpoint in (taken.name, given.name):
                        check_pair(endpoint, (source, given), (step.name, taken), merged)

    def _check_filter(self, step: Step, taken: RemoteEndpoint, givers: Iterable[RemoteEndpoint]) -> None:
        """Warns once of a filter by a field that documents don't have: a sender may add fields, so it needn't be wrong."""
        known = field_names(taken.input_schema)
        if step.when is None or known is None:
            return
        known |= {name for given in givers for name in field_names(given.output_schema) or ()}
        for name in step.when.fields:
            place = f'when of Executor {step.name!r} looks at {name!r}'
            if name in known or place in self._warned:
                continue
            self._warned.add(place)
            close = difflib.get_close_matches(name, known, 1)
            hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(map(repr, sorted(known)))}'
            what = taken.input_name or 'the document type'
            self._logger.warning("%s, which %s (endpoint %r) doesn't have; %s", place, what, taken.name, hint)

    def _check_stream(self, endpoint: str) -> None:
        """Warns once of a streaming endpoint that can't be called: the Flow may be there for its other endpoints."""
        if endpoint in self._warned:
            return
        try:
            self.stream_step(endpoint)
        except NotSupportedError as error:
            self._warned.add(endpoint)
            if any((found := self.lookup(step.name, endpoint)) and found.is_generator for step in self._plan.steps):
                self._logger.warning('%r can not be called with stream_doc: %s', endpoint, error)
        except ValueError:
            return

    def proto(self, *, as_executor: bool = False) -> EndpointsProto:
        """Returns the endpoints of the whole graph: the first Executor's input, the last one's output.

        Args:
            as_executor: In the form that an Executor gives: schemas have their class names, and the dry run is listed.
        """
        entries: dict[str, Any] = {}
        for endpoint in [*self.names(), *([DRY_RUN_ENDPOINT] if as_executor else [])]:
            entry = self._entry(endpoint, named=as_executor)
            if entry is not None:
                entries[endpoint] = entry
        proto = EndpointsProto(endpoints=list(entries))
        proto.schemas.CopyFrom(dict_to_struct(entries, what='schemas'))
        return proto

    def _entry(self, endpoint: str, *, named: bool) -> dict[str, Any] | None:
        answering = [
            found
            for step in self._plan.steps
            if step.index not in self._plan.floating and (found := self.lookup(step.name, endpoint)) is not None
        ]
        if not answering:
            return None
        first, last = answering[0], answering[-1]
        try:
            self.stream_step(endpoint)
            streams = last.is_generator
        except (NotSupportedError, ValueError):
            streams = False
        given, gives = first.input_schema, last.output_schema
        return {
            'input': {'name': first.input_name, 'model': given} if named else given,
            'output': {'name': last.output_name, 'model': gives} if named else gives,
            'is_generator': streams,
            'is_singleton_doc': streams or first.is_singleton_doc,
            'parameters': {'name': first.parameters_name, 'model': first.parameters_schema},
        }

    def names(self) -> list[str]:
        """Returns the endpoints of all Executors that are known."""
        # In the order of the graph, not of the answers.
        tables = (self._tables.get(step.name) for step in self._plan.steps)
        names = dict.fromkeys(name for table in tables if table for name in table)
        names.pop(DRY_RUN_ENDPOINT, None)
        return list(names)

    def _streaming(self) -> dict[str, bool]:
        """Returns the known endpoints, and which of them stream."""
        tables = [table for table in self._tables.values() if table]
        return {name: any(name in table and table[name].is_generator for table in tables) for name in self.names()}

    def _givers(self, step: Step, endpoint: str) -> Iterator[tuple[str, RemoteEndpoint]]:
        """Yields who makes the documents that a step gets: Executors without the endpoint pass them on."""
        for source in step.sources:
            if source == REQUEST:
                continue
            before = self._plan.steps[source]
            found = self.lookup(before.name, endpoint)
            if found is not None:
                yield before.name, found
            elif not self.serves(before.name, endpoint):
                yield from self._givers(before, endpoint)

    async def _ask(self, name: str) -> TransportError | None:
        try:
            self._tables[name] = remote_endpoints(await self._groups[name].discover(timeout=_TRY_S))
        except TransportError as error:
            if error.code != 'UNIMPLEMENTED':
                return error
            self._tables[name] = None  # a peer without discovery gets every request
        return None

    async def _keep_asking(self, name: str) -> None:
        pause = _FIRST_PAUSE_S
        while await self._ask(name) is not None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._note_progress()
        try:
            self.check()
        except TopologyError as error:
            self._logger.error('%s', error)

    async def _follow(self, on_change: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(_FOLLOW_S)
            before = dict(self._tables)
            await asyncio.gather(*(self._ask(name) for name in self._groups))
            if before == self._tables:
                continue
            self._note_progress()
            try:
                self.check()
            except TopologyError as error:
                self._logger.error('%s', error)
            on_change()

    def _note_progress(self) -> None:
        if self._tables.keys() >= self._groups.keys():
            self._complete.set()


def check_pair(
    endpoint: str,
    giver: tuple[str, RemoteEndpoint],
    taker: tuple[str, RemoteEndpoint],
    merged: Iterable[Mapping[str, Any]],
) -> None:
    (source, given), (target, taken) = giver, taker
    if given.is_generator or schemas_compatible(given.output_schema, taken.input_schema, merged):
        return
    raise TopologyError(
        f'at {endpoint!r} Executor {source!r} gives {given.output_name or "documents"} (endpoint {given.name!r}) '
        f'and Executor {target!r} takes {taken.input_name or "other documents"} (endpoint {taken.name!r}), which do not fit',
        hint='make the output type of the first the input type of the second',
    )
