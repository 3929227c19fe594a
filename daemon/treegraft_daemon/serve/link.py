"""The engine as the language server sees it: connected when first needed, found again after it died, never waited for
longer than asked.

Knows settings and errors; the wire is `treegraft_daemon.engine_client`, imported late because initialize comes first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from treegraft_daemon.config import Multiline, Settings
from treegraft_daemon.errors import EngineFailed, EngineUnreachable, TreegraftError

if TYPE_CHECKING:
    from treegraft_protocol.messages import StatusReport, Suggestions

logger = logging.getLogger(__name__)

FIRST_REST_S = 0.5  # after a failed start; doubled each time
LONGEST_REST_S = 30.0


class Engine(Protocol):
    """One connection to an engine; `engine_client.EngineClient` is one."""

    @property
    def closed(self) -> bool:
        """The connection has ended: the next request needs another one."""
        ...

    async def complete(
        self,
        *,
        document: str,
        path: str,
        language: str | None,
        text: bytes,
        offset: int,
        siblings: Sequence[tuple[str, bytes]],
        n: int,
        max_tokens: int,
        temperature: float,
        seed: int,
        constraint: bool,
        multiline: Multiline,
        indent: str,
        min_probability: float,
        ahead: bool,
        deadline_ms: int,
    ) -> Suggestions:
        """Suggestions for the fields of a `SavedRequest`; cancelling the await withdraws the request."""
        ...

    async def status(self) -> StatusReport: ...

    def tell(self, counts: dict[str, int], latencies_ms: dict[str, list[float]]) -> None:
        """What happened here, for the engine's statistics."""
        ...

    async def stop(self) -> None:
        """End the engine."""
        ...

    def forget(self, document: str) -> None:
        """The document was closed."""
        ...

    async def close(self) -> None: ...


Connect = Callable[[Settings], Awaitable[Engine]]


class Link:
    """At most one connection and one attempt to make it; callers share both."""

    def __init__(self, settings: Settings, connect: Connect | None = None) -> None:
        self._settings = settings
        self._connect = connect or connect_to_engine
        self._engine: Engine | None = None
        self._attempt: asyncio.Task[Engine] | None = None
        self._rest_s = FIRST_REST_S
        self._rest_until = 0.0
        self._last_problem: TreegraftError | None = None

    @property
    def connected(self) -> bool:
        return self._engine is not None and not self._engine.closed

    @property
    def resting(self) -> bool:
        """The last attempt failed a moment ago; nothing is tried now."""
        return self._last_problem is not None and asyncio.get_running_loop().time() < self._rest_until

    async def complete(self, **request: Any) -> Suggestions:
        """Ask the engine, which is started when there is none. Raises TreegraftError when it cannot answer."""
        engine = await self.engine()
        try:
            return await engine.complete(**request)
        except EngineFailed:
            if engine is self._engine and engine.closed:
                self._engine = None
            raise

    async def engine(self) -> Engine:
        """The connection; made anew if the last one has ended."""
        if self._engine is not None and not self._engine.closed:
            return self._engine
        self._engine = None
        if self._attempt is None:
            if self._last_problem is not None and self.resting:
                raise self._last_problem
            self._attempt = asyncio.ensure_future(self._reach())
            self._attempt.add_done_callback(self._attempted)
        attempt = self._attempt
        try:
            # Shielded: one caller's cancelled request does not stop the attempt that others wait for.
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if attempt.cancelled() and caller is not None and not caller.cancelling():
                raise EngineUnreachable("the connection to the engine was given up") from None
            raise

    async def status(self) -> StatusReport | None:
        """The report of the engine this server is connected to; None without one. Starts nothing."""
        if self._engine is None or self._engine.closed:
            return None
        with suppress(TreegraftError, TimeoutError):
            return await asyncio.wait_for(self._engine.status(), timeout=1)
        return None

    def tell(self, counts: dict[str, int], latencies_ms: dict[str, list[float]]) -> None:
        """What happened here, for the statistics of the engine, if there is one."""
        if self._engine is not None and not self._engine.closed:
            self._engine.tell(counts, latencies_ms)

    async def stop_engine(self) -> None:
        """End the engine; the next request starts another one."""
        if self._engine is not None and not self._engine.closed:
            with suppress(TreegraftError):
                await self._engine.stop()
        await self.close()
        self._rest_s, self._last_problem = FIRST_REST_S, None

    def forget(self, document: str) -> None:
        """The document was closed: the engine need not keep it."""
        if self._engine is not None and not self._engine.closed:
            self._engine.forget(document)

    async def close(self) -> None:
        """Hang up; the engine lives on."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(TreegraftError, OSError, TimeoutError):
                await asyncio.wait_for(engine.close(), timeout=1)

    async def _reach(self) -> Engine:
        try:
            return await self._connect(self._settings)
        except TreegraftError:
            raise
        except Exception as problem:  # a broken installation must not end the conversation with the editor
            logger.error("connecting to the engine failed: %s", type(problem).__name__, exc_info=problem)
            raise EngineUnreachable(f"connecting to the engine failed: {problem}") from problem

    def _attempted(self, attempt: asyncio.Task[Engine]) -> None:
        if self._attempt is not attempt:  # closed meanwhile
            if not attempt.cancelled() and attempt.exception() is None:
                closing = asyncio.ensure_future(attempt.result().close())
                closing.add_done_callback(lambda task: task.cancelled() or task.exception())
            return
        self._attempt = None
        if attempt.cancelled():
            return
        problem = attempt.exception()
        if problem is None:
            self._engine = attempt.result()
            self._rest_s, self._last_problem = FIRST_REST_S, None
            return
        assert isinstance(problem, TreegraftError), problem
        # Starting an engine costs seconds of work: do not try again at every key.
        self._last_problem = problem
        self._rest_until = asyncio.get_running_loop().time() + self._rest_s
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)


async def connect_to_engine(settings: Settings) -> Engine:
    """The engine of these settings, started on demand."""
    from treegraft_daemon import engine_client

    return await engine_client.connect(settings, start=True)
