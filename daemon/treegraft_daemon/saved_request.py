"""A request to the engine as a file, so that what somebody saw can be seen again: `treegraft replay FILE`.

Holds source text, and is therefore written only when somebody asks for it, for the owner's eyes only.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from treegraft_daemon.config import Multiline
from treegraft_daemon.errors import BadInput, os_reason


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """All that an answer depends on but the model; the names are those of `EngineClient.complete`."""

    document: str
    path: str
    language: str | None
    text: bytes
    offset: int
    siblings: tuple[tuple[str, bytes], ...] = ()
    n: int = 1
    max_tokens: int = 48
    temperature: float = 0.0
    seed: int = 0
    constraint: bool = True
    multiline: Multiline = "never"
    indent: str = ""
    min_probability: float = 0.0
    deadline_ms: int = 5000

    def question(self) -> dict[str, Any]:
        """Keyword arguments for `EngineClient.complete`."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def save(self, path: Path) -> None:
        """Write it, readable by the owner only. Raises BadInput when that fails."""
        content = json.dumps({"treegraft": 1, **asdict(self)}, default=bytes.decode, ensure_ascii=False, indent=1)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(content)
        except OSError as error:
            raise BadInput(f"cannot write {path}: {os_reason(error)}") from error


def load_request(path: Path) -> SavedRequest:
    """The request in a file. Raises BadInput for what is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {os_reason(error)}") from error
    except ValueError as error:
        raise BadInput(f"{path} is no saved request: it is not JSON") from error
    if not isinstance(found, dict) or found.pop("treegraft", None) != 1:
        raise BadInput(f"{path} is no saved request")
    try:
        found["text"] = found["text"].encode()
        found["siblings"] = tuple((name, text.encode()) for name, text in found["siblings"])
        request = SavedRequest(**found)
        if not 0 <= request.offset <= len(request.text):
            raise ValueError(f"offset {request.offset} lies outside the text")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is no saved request: {error}") from error
    return request
