"""What each command of `treegraft` does. Prints for people, or JSON for scripts; never catches what it cannot mend."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from treegraft_daemon import __version__
from treegraft_daemon.config import (
    MAX_DOCUMENT_BYTES,
    Settings,
    as_page,
    as_schema,
    camel_case,
    given,
    runtime_dir,
    settings_file,
)
from treegraft_daemon.errors import BadInput, EngineError, EngineUnreachable, TreegraftError, os_reason
from treegraft_daemon.saved_request import SavedRequest, load_request

if TYPE_CHECKING:
    from treegraft_daemon.engine_client import EngineClient
    from treegraft_daemon.serve.server import Transport
    from treegraft_protocol.messages import StatusReport, Suggestions


T = TypeVar("T")

MOST_REPLICAS = 1000


# --- serve and engine: the two processes ---


def serve(options: argparse.Namespace, settings: Settings) -> int:
    """The language server."""
    from treegraft_daemon.serve.lean import import_lsprotocol

    gc.disable()  # what imports make stays: to look through it takes 0.1 s here, and again at each full collection
    import_lsprotocol()
    from treegraft_daemon.serve import server

    gc.freeze()
    gc.enable()

    return server.run(settings, _transport(options), pinned=frozenset(given(vars(options))))


def _transport(options: argparse.Namespace) -> Transport:
    from treegraft_daemon.serve.server import Transport

    pid = options.clientProcessId
    if options.tcp:
        return Transport(kind="tcp", host=options.host, port=options.port, client_process_id=pid)
    if options.socket is not None:
        return Transport(kind="socket", host="127.0.0.1", port=options.socket, client_process_id=pid)
    if options.pipe is not None:
        return Transport(kind="pipe", path=options.pipe, client_process_id=pid)
    if options.listen_unix is not None:
        return Transport(kind="listen_unix", path=options.listen_unix, client_process_id=pid)
    return Transport(kind="stdio", client_process_id=pid)


def engine(options: argparse.Namespace, settings: Settings) -> int:
    """The model process, in the foreground."""
    from treegraft_daemon.engine import service
    from treegraft_daemon.engine.model.loading import load

    if options.tcp is not None:
        settings = replace(settings, engine_address=options.tcp)
    if options.ray is not None:
        return _engine_on_cluster(options, settings)
    return service.run(settings, lambda tell: load(settings.model, tell, settings.copying, settings.precision))


def _engine_on_cluster(options: argparse.Namespace, settings: Settings) -> int:
    least, most = parse_replicas(options.replicas)
    if options.gpus_per_replica < 0:
        raise BadInput(f"--gpus-per-replica must not be negative, but is {options.gpus_per_replica}")
    try:
        from treegraft_daemon.engine import cluster
    except ImportError as problem:
        raise EngineError(f'--ray needs Ray: pip install "treegraft[cluster]" ({problem})') from problem
    return cluster.run(settings, cluster.Shape(options.ray, least, most, options.gpus_per_replica))


def parse_replicas(text: str) -> tuple[int, int]:
    """The least and the greatest number of replicas that N, MIN-MAX or auto stand for. Raises BadInput."""
    if text == "auto":
        return 1, MOST_REPLICAS
    least, dash, most = text.partition("-")
    if least.isdecimal() and (most.isdecimal() or not dash) and 1 <= int(least) <= int(most or least) <= MOST_REPLICAS:
        return int(least), int(most or least)
    raise BadInput(f"--replicas wants N, MIN-MAX or auto, up to {MOST_REPLICAS}, not {text!r}")


# --- complete ---


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in a file on disk: 1-based line and column, columns in characters."""

    path: Path
    line: int
    column: int


def complete(options: argparse.Namespace, settings: Settings) -> int:
    """Complete at FILE:LINE:COL; prints the best text, or everything as JSON."""
    if not 1 <= options.n <= 16:
        raise BadInput(f"-n must be between 1 and 16, not {options.n}")
    place = parse_place(options.place)
    text = read_source(place.path)
    offset = offset_of(text, place)
    language = _language(place.path, text, constraint=not options.no_constraint)
    siblings = _siblings(place.path, language, settings)

    request = SavedRequest(
        document=place.path.resolve().as_uri(),
        path=str(place.path.resolve()),
        language=language,
        text=text,
        offset=offset,
        siblings=tuple(siblings),
        n=options.n,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=options.seed,
        constraint=not options.no_constraint,
        multiline=settings.multiline,
        deadline_ms=max(settings.deadline_ms, 30_000),  # a script would rather wait than get half an answer
    )
    if options.save:
        request.save(Path(options.save))
    return _answer(options, settings, request, place)


def replay(options: argparse.Namespace, settings: Settings) -> int:
    """Ask again what was asked when a request was saved."""
    request = load_request(Path(options.file))
    before = request.text[: request.offset].decode("utf-8", "replace")
    column = len(before) - before.rfind("\n")
    return _answer(options, settings, request, Place(Path(request.path), before.count("\n") + 1, column))


def _answer(options: argparse.Namespace, settings: Settings, request: SavedRequest, place: Place) -> int:
    """Ask the engine and print what it says."""

    async def ask(client: EngineClient) -> Suggestions:
        return await client.complete(**request.question())

    found = _with_engine(settings, ask, start=True)
    if options.json:
        _print_json(_suggestions_as_json(place, request.language, found))
    elif found.items:
        print(found.items[0].text.decode("utf-8", "replace"))
    if not found.items:
        print(f"treegraft: nothing to suggest: {found.reason or 'no candidate fits'}", file=sys.stderr)
    return 0


def parse_place(words: str) -> Place:
    """`FILE:LINE:COL` as a Place; the file name may hold colons."""
    parts = words.rsplit(":", 2)
    if len(parts) != 3 or not parts[0] or not (parts[1].isdecimal() and parts[2].isdecimal()):
        raise BadInput(f"expected FILE:LINE:COL with line and column from 1, not {words!r}")
    return Place(Path(parts[0]), int(parts[1]), int(parts[2]))


def read_source(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The bytes of a source file. Raises BadInput for what is not one: missing, empty, binary, huge, not UTF-8."""
    try:
        if path.stat().st_size > limit:
            raise BadInput(f"{path} is larger than {limit // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {os_reason(error)}") from error
    if not data:
        raise BadInput(f"{path} is empty: there is nothing to go on")
    if b"\0" in data:
        raise BadInput(f"{path} holds NUL bytes: it looks like a binary file")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: wrong byte at offset {error.start}") from error
    return data


def offset_of(text: bytes, place: Place) -> int:
    """Byte offset of a 1-based line and character column. Raises BadInput outside the file."""
    start = 0
    for _ in range(place.line - 1):
        end = text.find(b"\n", start)
        if end < 0:
            raise BadInput(f"{place.path} has no line {place.line}")
        start = end + 1
    end = text.find(b"\n", start)
    line = (text[start:] if end < 0 else text[start:end]).removesuffix(b"\r").decode("utf-8")
    if place.line < 1 or not 1 <= place.column <= len(line) + 1:
        raise BadInput(f"line {place.line} of {place.path} has no column {place.column}: it ends at {len(line) + 1}")
    return start + len(line[: place.column - 1].encode("utf-8"))


def _language(path: Path, text: bytes, constraint: bool) -> str | None:
    from treegraft_grammars import language_of, languages

    language = language_of(str(path), text)
    if language is None and constraint:
        known = ", ".join(languages())
        raise BadInput(f"no grammar for {path} (there are: {known}); --no-constraint completes without one")
    return language


def _siblings(path: Path, language: str | None, settings: Settings) -> list[tuple[str, bytes]]:
    """Other files of the language in the same folder, last changed first; excluded and unreadable ones are passed over."""
    from treegraft_daemon.serve.exclusion import Exclusion
    from treegraft_grammars import language_of

    if language is None:
        return []
    own = path.resolve()
    others = [other for other in own.parent.iterdir() if other.is_file() and other != own]
    others = [other for other in others if language_of(str(other)) == language]
    exclusion = Exclusion(settings.excluded_files, respects_gitignore=settings.respect_gitignore)
    found: list[tuple[str, bytes]] = []
    for other in sorted(others, key=lambda other: -other.stat().st_mtime):
        if len(found) == settings.context_siblings:
            break
        if exclusion.reason(str(other)):
            continue
        try:
            found.append((str(other), read_source(other, limit=200_000)))
        except BadInput:
            continue
    return found


def _suggestions_as_json(place: Place, language: str | None, found: Suggestions) -> dict[str, Any]:
    from treegraft_protocol.messages import as_dict

    candidates = [{**as_dict(item), "text": item.text.decode("utf-8", "replace")} for item in found.items]
    return {
        "file": str(place.path),
        "line": place.line,
        "column": place.column,
        "language": found.language or language,
        "constrained": found.constrained,
        "reason": found.reason,
        "candidates": candidates,
        "timings": as_dict(found.timings),
    }


# --- check ---


def check(options: argparse.Namespace, settings: Settings) -> int:
    """First syntax error of each file, as a compiler would print it; 1 if there is any."""
    from treegraft_daemon.checking import Finding, check_file, files_of

    findings: list[Finding] = []
    with _progress() as tell:
        for n_files, path in enumerate(files_of(options.files)):
            tell(f"{n_files} files checked, {len(findings)} with errors")
            finding = check_file(path, read_source)
            if finding is None:
                continue
            findings.append(finding)
            if not options.json:
                tell("")
                print(finding, flush=True)
    if options.json:
        _print_json([finding.as_json() for finding in findings])
    return 1 if any(finding.severity == "error" for finding in findings) else 0


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line at the bottom of a terminal, once it takes longer than a second; "" wipes it. Nothing elsewhere."""
    shown, last = "", monotonic() + 1

    def tell(line: str) -> None:
        nonlocal shown, last
        if not sys.stderr.isatty() or (line and monotonic() - last < 0.1):
            return
        if line or shown:
            print(f"\r{line:<{len(shown)}}" + ("" if line else "\r"), end="", file=sys.stderr, flush=True)
        shown, last = line, max(last, monotonic()) if line else last

    try:
        yield tell
    finally:
        tell("")


# --- the engine seen from outside ---


def status(options: argparse.Namespace, settings: Settings) -> int:
    """Is the engine running, with which model, doing what; 3 when it is not running."""
    report = _report(settings)
    if options.json:
        _print_json(_report_as_json(report) if report else {"running": False})
    elif report is None:
        print("engine: not running (it is started on demand)")
    else:
        print(f"engine: {report.state}, model {report.model}, pid {report.pid}, up {report.uptime_s:.0f} s")
        print(f"        {report.clients} clients, {report.documents} documents, {report.running} running, ", end="")
        print(f"{report.queued} queued")
        for it in report.replicas:
            memory = f", {it.gpu_bytes / 2**30:.1f} GiB on the GPU" if it.gpu_bytes else ""
            print(f"        replica {it.name} on {it.host}: {it.state}, {it.documents} documents, ", end="")
            print(f"{it.running} running, {it.queued} queued{memory}, {it.age_s:.0f} s ago")
    return 0 if report else 3


def stats(options: argparse.Namespace, settings: Settings) -> int:
    """Counters and latencies of the running engine and the editors it serves; 3 when it is not running."""
    report = _report(settings)
    if options.json:
        _print_json({"counters": report.counters, "latencies_ms": report.latencies_ms} if report else {})
    elif report is None:
        print("engine: not running, so there is nothing to count")
    else:
        for name, value in sorted(report.counters.items()):
            print(f"{name.replace('_', ' '):<40}{value:>10}")
        if report.latencies_ms:
            print(f"\n{'latency in ms':<40}{'p50':>10}{'p75':>10}{'p95':>10}")
        for stage, (middle, high, tail) in sorted(report.latencies_ms.items()):
            print(f"{stage.replace('_', ' '):<40}{middle:>10.1f}{high:>10.1f}{tail:>10.1f}")
    return 0 if report else 3


def stop(options: argparse.Namespace, settings: Settings) -> int:
    """End the engine; fine when it is not running."""

    async def ask(client: EngineClient) -> None:
        await client.stop()

    try:
        _with_engine(settings, ask, start=False)
        stopped = True
    except EngineUnreachable:
        stopped = False
    if options.json:
        _print_json({"stopped": stopped})
    else:
        print("engine: stopped" if stopped else "engine: not running")
    return 0


def doctor(options: argparse.Namespace, settings: Settings) -> int:
    """What works here and what to do next. Loads no model; 1 when something must be mended."""
    from importlib.util import find_spec

    from treegraft_grammars import UnsupportedGrammar, distrust, grammar_for, languages
    from treegraft_grammars.registry import row_of

    _, problems = Settings.load()
    print(f"treegraft {__version__}, Python {sys.version.split()[0]}")
    broken: list[str] = []
    missing: list[str] = []
    for language in languages():
        try:
            grammar_for(language).start()
        except UnsupportedGrammar as error:
            # A first install has the grammars of a dozen languages; the others are an offer.
            (broken if not row_of(language).extra else missing).append(f"{language}: {error}")
        except (ImportError, LookupError, ValueError) as error:
            broken.append(f"{language}: {error}")
    n_loaded = len(languages()) - len(broken) - len(missing)
    print(f"grammars    {n_loaded} of {len(languages())} load: {', '.join(languages())}")
    if missing:
        print(f'            {len(missing)} more with pip install "treegraft[languages]"')
    doubted = [language for language in languages() if distrust(language)]
    print(f"            not trusted, so served without constraint: {', '.join(doubted)}")
    problems += [f"grammar of {line}" for line in broken]
    tables = Path(__file__).parent / "engine" / "model" / "embedded"
    print(f"model       {settings.model}" + ("" if settings.model != "embedded" else f" ({_megabytes(tables)})"))
    if settings.model != "embedded":
        from treegraft_daemon.engine.model import hub

        try:
            hub.locate(settings.model)
        except TreegraftError as error:
            problems.append(str(error))
    if settings.model != "embedded" and find_spec("torch") is None:
        problems.append('the extra "models" is not installed: pip install "treegraft[models]"')
    torch_version = _version("torch")
    print(f"torch       {torch_version or 'not installed (the embedded model needs none)'}")
    print(f"device      {_device(torch_version)}")
    if driver := _driver():
        print(f"driver      {driver}")
    path = settings_file()
    print(f"settings    {path}" + ("" if path.exists() else " (not there; defaults hold)"))
    folder = runtime_dir()
    parent = next(path for path in [folder, *folder.parents] if path.exists())
    writable = os.access(parent, os.W_OK)
    print(f"sockets     {folder}" + ("" if writable else " (not writable)"))
    if not writable:
        problems.append(f"{folder} cannot be written: set TREEGRAFT_RUNTIME_DIR to a folder of yours")
    try:
        report = _report(settings)
        print(f"engine      {'not running (it is started on demand)' if report is None else report.state}")
    except TreegraftError as error:
        print("engine      trouble")
        problems.append(str(error))
    editors = [name for name in ("nvim", "code", "emacs", "hx", "zed", "subl", "kate") if shutil.which(name)]
    print(f"editors     {', '.join(editors) or 'none found on PATH'}")
    for problem in problems:
        print(f"! {problem}")
    if not problems:
        print("all is well; next: let your editor start `treegraft --stdio`, or try `treegraft complete FILE:LINE:COL`")
    else:
        print(f"{len(problems)} thing(s) to mend")
    return 1 if problems else 0


def models(options: argparse.Namespace, settings: Settings) -> int:
    """Models that can be used without a download: the embedded one and the hub's local cache. `pull` downloads one."""
    from treegraft_daemon.engine.model import hub

    if options.action == "pull":
        if not options.name:
            raise BadInput("pull wants a name on the hub, as in treegraft models pull ORGANISATION/MODEL")
        folder = hub.pull(options.name, _tell_json() if options.json else None)
        if options.json:
            print(json.dumps({"name": options.name, "path": str(folder)}))
        else:
            print(f"{options.name} is in {folder}; use it by --model {options.name}")
        return 0
    if options.name:
        raise BadInput(f"list takes no name; did you mean: treegraft models pull {options.name}")
    tables = Path(__file__).parent / "engine" / "model" / "embedded"
    embedded = sum(path.stat().st_size for path in tables.rglob("*") if path.is_file())
    found = [("embedded", embedded), *hub.cached()]
    if options.json:
        _print_json([{"name": name, "bytes": size} for name, size in found])
    else:
        for name, size in found:
            print(f"{name:<48}{size / 1e6:10.1f} MB")
    return 0


def _tell_json() -> Callable[[int, int], None]:
    """Writes one line for each percent that is done."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        percent = min(100, 100 * done // max(total, 1))
        if percent > told:
            told = percent
            print(json.dumps({"percent": percent, "bytes": done, "ofBytes": total}), flush=True)

    return tell


def show_settings(options: argparse.Namespace, settings: Settings) -> int:
    """Every setting with its value and where it comes from; or the schema, or the page of the manual."""
    if options.schema:
        _print_json(as_schema())
    elif options.markdown:
        print(as_page(), end="")
    elif options.json:
        _print_json({camel_case(name): value for name, value in asdict(settings).items()})
    else:
        path = settings_file()
        in_file, _ = Settings.load({"TREEGRAFT_CONFIG": str(path)})
        print(f"file        {path}{'' if path.exists() else ' (not there)'}")
        for item in fields(Settings):
            value, variable = getattr(settings, item.name), f"TREEGRAFT_{item.name.upper()}"
            origin = "" if value == item.default else str(path) if value == getattr(in_file, item.name) else variable
            print(f"{camel_case(item.name):<20}{json.dumps(value):<24}{origin}".rstrip())
    return 0


def _megabytes(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 1e6:.1f} MB"


def _device(torch_version: str | None) -> str:
    """Best guess without importing torch: that takes seconds and wakes the GPU."""
    if shutil.which("nvidia-smi") and torch_version and "cpu" not in torch_version:
        return "cuda"
    if sys.platform == "darwin" and torch_version:
        return "mps"
    return f"cpu, {os.cpu_count()} cores"


def _driver() -> str:
    """The GPU and its driver as NVIDIA's own tool tells them; "" where there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "nvidia-smi does not answer"
    return "; ".join((asked.stdout if asked.returncode == 0 else asked.stdout + asked.stderr).strip().splitlines())


def _report(settings: Settings) -> StatusReport | None:
    async def ask(client: EngineClient) -> StatusReport:
        return await client.status()

    try:
        return _with_engine(settings, ask, start=False)
    except EngineUnreachable:
        return None


def _report_as_json(report: StatusReport) -> dict[str, Any]:
    from treegraft_protocol.messages import as_dict

    fields = as_dict(report)
    del fields["id"]
    fields["replicas"] = [as_dict(replica) for replica in report.replicas]
    return {**fields, "running": True, "active": report.running}


def _with_engine(settings: Settings, ask: Callable[[EngineClient], Awaitable[T]], *, start: bool) -> T:
    """Connect, ask once, hang up."""
    from treegraft_daemon import engine_client

    async def run() -> T:
        client = await engine_client.connect(settings, start=start)
        try:
            return await ask(client)
        finally:
            await client.close()

    return asyncio.run(run())


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # 0.05 s that a server's start need not take

    try:
        return version(package)
    except PackageNotFoundError:
        return None


COMMANDS: dict[str, Callable[[argparse.Namespace, Settings], int]] = {
    "serve": serve,
    "complete": complete,
    "replay": replay,
    "check": check,
    "engine": engine,
    "status": status,
    "stop": stop,
    "stats": stats,
    "doctor": doctor,
    "models": models,
    "settings": show_settings,
}
