"""The command line: `treegraft serve | complete | replay | check | engine | status | stop | doctor | stats | models | settings`.

Every error a user, a file or a machine can cause ends as one line on stderr and exit code 1; bad usage is 2.
Heavy imports wait until the command that needs them is known.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields

from treegraft_daemon import __version__
from treegraft_daemon.config import LOG_LEVELS, MULTILINE, PRECISIONS, Settings, given
from treegraft_daemon.errors import BadInput, TreegraftError, os_reason

SERVE_FLAGS = ("--stdio", "--tcp", "--socket", "--pipe", "--listen-unix", "--clientProcessId")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].split("=")[0] in SERVE_FLAGS:  # most clients start a server as `NAME --stdio`
        words.insert(0, "serve")
    parser = build_parser()
    options, unknown = parser.parse_known_args(words)
    if unknown and options.command != "serve":
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if unknown:
        print(f"treegraft: ignoring unknown options {' '.join(unknown)}", file=sys.stderr)
    if options.command is None:
        parser.print_help()
        return 2
    from treegraft_daemon import commands  # after parsing: `--help` and `--version` need none of it

    try:
        code = commands.COMMANDS[options.command](options, _settings(options))
        sys.stdout.flush()
        return code
    except TreegraftError as error:
        print(f"treegraft: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # Files and sockets have errors of their own by now: what is left is our output. A reader that left
        # (`treegraft check ... | head`) is no news, a full disk is.
        if not isinstance(error, BrokenPipeError):
            print(f"treegraft: cannot write the output: {os_reason(error)}", file=sys.stderr)
        # The interpreter flushes once more at its exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The whole command line as a value; the manual page is its help."""
    parser = argparse.ArgumentParser(
        prog="treegraft", description="Inline code completions that always fit the syntax tree they are grafted onto."
    )
    parser.add_argument("--version", action="version", version=f"treegraft {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    serve = _command(commands, "serve", "language server for an editor (default transport: stdio)")
    serve.add_argument("--stdio", action="store_true", help="speak over stdin and stdout (default)")
    serve.add_argument("--tcp", action="store_true", help="listen for editors on --host and --port")
    serve.add_argument("--host", default="127.0.0.1", help="address for --tcp (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, default=2089, help="port for --tcp (default: 2089; 0 picks a free one)")
    serve.add_argument("--socket", type=int, metavar="N", help="connect to the editor's port N on this machine")
    serve.add_argument("--pipe", metavar="NAME", help="connect to the editor's unix socket NAME")
    serve.add_argument("--listen-unix", metavar="PATH", help="listen for editors on the unix socket PATH")
    serve.add_argument("--clientProcessId", type=int, metavar="N", help="end when process N ends")
    _engine_options(serve)
    _log_options(serve)

    complete = _command(commands, "complete", "complete at a place in a file and print the result")
    complete.add_argument("place", metavar="FILE:LINE:COL", help="line and column count from 1, columns in characters")
    complete.add_argument("-n", type=int, default=1, metavar="N", help="number of candidates (default: 1)")
    complete.add_argument("--json", action="store_true", help="all candidates with weights, checks and timings")
    complete.add_argument("--seed", type=int, default=0, help="seed of the random draws (default: 0)")
    complete.add_argument("--max-tokens", type=int, metavar="T", help="longest completion in tokens")
    complete.add_argument("--temperature", type=float, metavar="X", help="0: most probable tokens; above 0: samples")
    complete.add_argument("--multiline", choices=MULTILINE, help="go on in the next line (default: within blocks)")
    complete.add_argument("--no-constraint", action="store_true", help="switch the grammar off, to compare")
    complete.add_argument("--save", metavar="FILE", help="write the request, source text and all, to replay it")
    _engine_options(complete)

    replay = _command(commands, "replay", "ask again what was asked when a request was saved")
    replay.add_argument("file", metavar="FILE", help="from complete --save, or the command treegraft.saveRequest")
    replay.add_argument("--json", action="store_true", help="all candidates with weights, checks and timings")
    _engine_options(replay)

    check = _command(commands, "check", "first syntax error of each file")
    check.add_argument("files", nargs="+", metavar="FILE", help="source files, or folders of them")
    check.add_argument("--json", action="store_true", help="one JSON array of all findings")

    engine = _command(commands, "engine", "model process in the foreground (else started on demand)")
    engine.add_argument(
        "--tcp", "--listen", metavar="HOST:PORT", help="listen there, with --token-file; else unix socket"
    )
    engine.add_argument("--tls-cert", metavar="FILE", help="with --listen: speak TLS, with this certificate")
    engine.add_argument("--tls-key", metavar="FILE", help="the key of that certificate, if it is not in the same file")
    engine.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="serve with replicas on the Ray cluster at ADDRESS, or on one started on this machine",
    )
    engine.add_argument(
        "--replicas",
        default="1",
        metavar="N|MIN-MAX|auto",
        help="with --ray: how many; a range or auto follow the load (default: 1)",
    )
    engine.add_argument(
        "--gpus-per-replica", type=float, default=0.0, metavar="X", help="with --ray: GPUs of each (default: 0)"
    )
    engine.add_argument("--precision", choices=PRECISIONS, help="of a model's weights (default: 8 bits on a CPU)")
    engine.add_argument(
        "--copying",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mix what the open files say into a model's law (default: no)",
    )
    engine.add_argument(
        "--idle-exit",
        dest="idle_exit_s",
        type=int,
        metavar="SECONDS",
        help="end so long after the last client; 0 never",
    )
    engine.add_argument(
        "--idle-unload",
        dest="idle_unload_s",
        type=int,
        metavar="SECONDS",
        help="let go of the model so long after the last request; 0 never",
    )
    engine.add_argument(
        "--metrics", dest="metrics_address", metavar="HOST:PORT", help="serve counters to Prometheus there"
    )
    _engine_options(engine)
    _log_options(engine)

    for name, sentence in (
        ("status", "is the engine running, with which model, doing what"),
        ("stop", "end the engine"),
        ("stats", "counters of the running engine"),
    ):
        command = _command(commands, name, sentence)
        command.add_argument("--json", action="store_true", help="as JSON")
        _engine_options(command)
    doctor = _command(commands, "doctor", "what works here, what does not, and what to do next")
    _engine_options(doctor)
    models = _command(commands, "models", "models that can be used without a download; pull one")
    models.add_argument(
        "action", nargs="?", choices=["list", "pull"], default="list", help="what to do (default: list)"
    )
    models.add_argument("name", nargs="?", metavar="NAME", help="for pull: a name on the hub, as in ORGANISATION/MODEL")
    models.add_argument("--json", action="store_true", help="as JSON")
    page = _command(commands, "settings", "every setting, its value and where it comes from")
    form = page.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="values as JSON")
    form.add_argument("--schema", action="store_true", help="the JSON schema of all settings")
    form.add_argument("--markdown", action="store_true", help="the manual page of all settings")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, sentence: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=sentence, description=f"{sentence[0].upper()}{sentence[1:]}.")


def _engine_options(parser: argparse.ArgumentParser) -> None:
    sentences = {item.name: item.metadata["sentence"] for item in fields(Settings)}
    parser.add_argument("--model", metavar="PATH|NAME", help=sentences["model"])
    parser.add_argument("--engine", dest="engine_address", metavar="HOST:PORT", help=sentences["engine_address"])
    parser.add_argument("--token-file", metavar="FILE", help=sentences["token_file"])
    parser.add_argument("--tls-ca", metavar="FILE", help=sentences["tls_ca"])


def _log_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log-level", choices=LOG_LEVELS, help="how much is logged")
    parser.add_argument("--log-file", metavar="FILE", help="log to FILE, not to stderr")


def _settings(options: argparse.Namespace) -> Settings:
    """File and environment overlaid by the options that were given. Raises BadInput for an option out of bounds."""
    settings, problems = Settings.load()
    for problem in problems:
        print(f"treegraft: {problem}", file=sys.stderr)
    settings, problems = settings.overlay(given(vars(options)))
    if problems:
        raise BadInput(problems[0].rpartition(";")[0])
    return settings


if __name__ == "__main__":
    sys.exit(main())
