"""Every message of the wire as a typed, frozen struct. Field order is free; unknown fields are ignored.

Client to engine: Hello, Put, Complete, Cancel, Close, Tell, Status, Stop.
Engine to client: Welcome, Suggestions, StatusReport, Problem.
Text is UTF-8 bytes and a place is a byte offset everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

PROTOCOL_VERSION = 3

# Bounds are part of the type: what decodes is in range, so nobody behind the wire has to ask again.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Digest = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Candidates = Annotated[int, msgspec.Meta(ge=1, le=16)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z_]{1,40}$")]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Temperature = Annotated[float, msgspec.Meta(ge=0, lt=100)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Multiline = Literal["auto", "never", "always"]


class Message(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Base of all messages; the tag `type` is the class name."""


class Hello(Message, frozen=True):
    """First message of a connection."""

    protocol: int
    client: str
    token: str = ""


class Welcome(Message, frozen=True):
    """Answer to Hello."""

    protocol: int
    pid: int
    version: str
    model: str


class Edit(msgspec.Struct, frozen=True):
    """Replace bytes [start, end) of the text at `base` by `data`."""

    base: Count
    start: Count
    end: Count
    data: bytes


class Sibling(msgspec.Struct, frozen=True):
    """Another file for the model to read; its text was sent before by Put with this digest."""

    path: str
    digest: Digest


class Put(Message, frozen=True):
    """A sibling's text, kept by the engine for this connection under its digest (blake2b, 16 bytes)."""

    digest: Digest
    text: bytes


class Complete(Message, frozen=True):
    """Complete `document` at byte `offset`.

    Exactly one of `text` (the whole document) and `edit` (against the version this connection sent last) is set.
    `version` names the resulting text. `indent` is one level of indentation as the editor would write it, for a text that
    does not show it; "" if it is not known. `multiline`: whether a suggestion that is whole goes on in the next line; `auto`:
    within blocks, while that is worth it. `min_probability`: of a single candidate; work on one that can only be less
    probable ends, and the answer's reason is `improbable`. `ahead`: nobody waits yet, so it runs on an idle model only and is superseded by
    any other request. Answered by exactly one Suggestions or Problem with the same id.
    """

    id: Count
    document: str
    version: Count
    offset: Count
    path: str = ""
    language: str | None = None
    text: bytes | None = None
    edit: Edit | None = None
    siblings: tuple[Sibling, ...] = ()
    n: Candidates = 1
    max_tokens: Tokens = 48
    temperature: Temperature = 0.0
    seed: Count = 0
    constraint: bool = True
    multiline: Multiline = "never"
    indent: str = ""
    min_probability: Probability = 0.0
    ahead: bool = False
    deadline_ms: Count = 5000


class Cancel(Message, frozen=True):
    """Withdraw request `id`; it is still answered, by Problem(code="cancelled") unless the answer is under way."""

    id: Count


class Close(Message, frozen=True):
    """Forget a document of this connection."""

    document: str


class Tell(Message, frozen=True):
    """What happened in an editor since the last Tell, for the engine's statistics; not answered.

    counts: how often, by name. latencies_ms: single measurements by stage.
    """

    counts: dict[Name, Count] = {}
    latencies_ms: dict[Name, tuple[Milliseconds, ...]] = {}


class Status(Message, frozen=True):
    """Ask for a StatusReport."""

    id: Count


class Stop(Message, frozen=True):
    """End the engine after running requests were answered as cancelled; acknowledged by a StatusReport."""

    id: Count


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate. `text` is inserted at the offset; weights are natural logarithms.

    `probability`: the chance that this is what its author would write. `masses`: for each token, how much of the
    model's law the constraint left: an estimate, and what it lies between for certain.
    """

    text: bytes
    log_weight: float
    log_probability: float
    stop_reason: str
    n_tokens: int
    n_checks: int
    confidence: float = 1.0
    probability: float = 1.0
    masses: tuple[tuple[float, float, float], ...] = ()


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds spent per stage, and how often."""

    queue_ms: float = 0.0
    parse_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    constraint_ms: float = 0.0
    judge_ms: float = 0.0
    total_ms: float = 0.0
    n_steps: int = 0


class Suggestions(Message, frozen=True):
    """Answer to Complete: best first, possibly none; `reason` says why there are none or what was switched off.

    `language`: the one written at the cursor, which in a script or a fenced block is not the document's; "" if unknown.
    """

    id: Count
    items: tuple[Suggestion, ...]
    constrained: bool
    reason: str = ""
    language: str = ""
    timings: Timings = Timings()


class ReplicaReport(msgspec.Struct, frozen=True):
    """One replica of an engine on a cluster, as it stood when it answered last, `age_s` ago.

    documents: those it served in the last ten minutes. gpu_bytes: memory that its model takes on the device.
    """

    name: str
    host: str
    pid: int
    state: str
    queued: int
    running: int
    documents: int
    gpu_bytes: int = 0
    age_s: float = 0.0


class StatusReport(Message, frozen=True):
    """What `treegraft status` shows. replicas: of an engine on a cluster, those that answered lately.

    latencies_ms: median, 75th and 95th percentile of each stage. loaded: while the state is loading, the share of the
    model's weights that was read, 0 to 1; 0 where that is not known.
    """

    id: Count
    pid: int
    version: str
    model: str
    state: str
    uptime_s: float
    clients: int
    documents: int
    queued: int
    running: int
    counters: dict[str, int]
    latencies_ms: dict[str, tuple[float, float, float]] = {}
    loaded: float = 0.0
    replicas: tuple[ReplicaReport, ...] = ()


class Problem(Message, frozen=True):
    """Something could not be done. `id` is None when it belongs to no request.

    A request that ended without its fault: cancelled, superseded, deadline, loading (the deadline passed before the
    model was loaded), stopping. Send more: stale_base (send the whole text), unknown_digest (Put the siblings again).
    The request is wrong: bad_message, unknown_message, too_large, busy (too many requests at once). The engine is
    wrong: model (it cannot be loaded), internal. The connection ends after: protocol, access, too_large without id.
    """

    id: Count | None
    code: str
    text: str


ClientMessage = Hello | Put | Complete | Cancel | Close | Tell | Status | Stop
EngineMessage = Welcome | Suggestions | StatusReport | Problem


def stages_ms(timings: Timings) -> dict[str, float]:
    """Milliseconds by stage, the stages named without their unit."""
    return {name.removesuffix("_ms"): ms for name, ms in as_dict(timings).items() if name.endswith("_ms")}


def as_dict(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields of a message or part of one, for JSON and for people."""
    return msgspec.structs.asdict(struct)
