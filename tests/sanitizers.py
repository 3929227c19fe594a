"""Native code under the compiler's sanitizers: a driver in C, and what came of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CLEAN = 0, "done\n", ""


def drive(driver: Path, source: Path, folder: Path, sanitizer: str = "address,undefined") -> tuple[int, str, str]:
    """Exit code and what was printed by `driver`, built with `source` in `folder`: CLEAN if nothing was found."""
    subprocess.run(
        ["gcc", "-O1", "-g", "-std=gnu11", "-pthread", "-Wno-psabi", f"-fsanitize={sanitizer}", f"-I{source.parent}",
         str(driver), str(source), "-lm", "-o", str(folder / "drive")],
        check=True,
    )  # fmt: skip
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run([folder / "drive"], env=environment, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout, done.stderr
