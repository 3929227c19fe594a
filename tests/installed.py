"""Whether a built wheel works where nothing else is: `python tests/installed.py dist/treegraft-*.whl`.

A new environment, the wheel and what it asks for, then what a user does first: --version, doctor, check, complete, and
a greeting to the language server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = "def total(values):\n    result = 0\n    return result\n\n\ndef mean(values):\n    ret"


def main(wheel: Path) -> None:
    """Raises when something does not work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([folder / "venv/bin/pip", "install", "--quiet", wheel.resolve()], check=True)
        environment = {**os.environ, "HOME": name, "TREEGRAFT_RUNTIME_DIR": f"{name}/run", "PYTHONPATH": ""}
        program = folder / "venv" / "bin" / "treegraft"

        def run(*arguments: str | Path, data: bytes = b"") -> str:
            done = subprocess.run(
                [program, *arguments], input=data, env=environment, cwd=name, capture_output=True, timeout=120
            )
            assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"
            return done.stdout.decode()

        print(run("--version").strip())
        print(run("doctor").strip().splitlines()[-1])
        source = folder / "mean.py"
        source.write_text(SOURCE)
        line, column = SOURCE.count("\n") + 1, len(SOURCE) - SOURCE.rfind("\n")
        found = json.loads(run("complete", f"{source}:{line}:{column}", "--json"))
        assert found["constrained"], found
        print(f"completed: ret|{found['candidates'][0]['text']}")
        source.write_text(SOURCE + found["candidates"][0]["text"] + "\n")
        print(run("check", source).strip() or "parses")
        greeting = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {"capabilities": {}, "processId": None},
        }
        ending = [{"jsonrpc": "2.0", "id": 2, "method": "shutdown"}, {"jsonrpc": "2.0", "method": "exit"}]
        bodies = [json.dumps(message).encode() for message in (greeting, *ending)]
        answer = run("--stdio", data=b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies))
        assert '"inlineCompletionProvider"' in answer, answer
        print("the language server answers")
        run("stop")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
