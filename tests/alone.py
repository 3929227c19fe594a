"""A law with one request at a time: what a test asks it about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from treegraft_daemon.engine.model.law import Context, Draws, Law, Rows, Sampling, Step, alone


class Alone:
    """The law itself, with the rows of the request that was prefilled last."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self._rows: Rows | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.law, name)

    def prefill(self, context: Context, sampling: Sampling, cancelled: Callable[[], bool]) -> tuple[Draws, bytes]:
        self._rows = alone(self.law, self.law.prefill(context, sampling, cancelled))
        return self._rows.draws, self._rows.owed

    @property
    def rows(self) -> Rows:
        assert self._rows is not None, "prefill comes first"
        return self._rows

    def fork(self, n: int) -> list[Draws]:
        return self.rows.fork(n)

    def step(self, tokens: Sequence[int], owed: Sequence[bytes]) -> list[Draws]:
        return self.law.step([Step(self.rows, tokens, owed)])[0]

    def select(self, rows: Sequence[int]) -> None:
        self.rows.select(rows)

    def rewind(self, n_tokens: int) -> None:
        self.rows.rewind(n_tokens)
