"""Builds the native simulator; everything else is in pyproject.toml."""

import hashlib
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("grammars/treegraft_grammars")
SOURCES = [str(path) for path in sorted(FOLDER.glob("_simulator.pyx")) + sorted(FOLDER.glob("simulator/*.c"))]
HEADERS = [str(path) for path in sorted(FOLDER.glob("simulator/*.h")) + sorted(FOLDER.glob("*.pxd"))]


def digest() -> str:
    """Hash of all native sources, compiled in and compared at import so that a stale build cannot pass unnoticed."""
    hasher = hashlib.sha256()
    for path in sorted(SOURCES + HEADERS, key=lambda path: Path(path).name):
        hasher.update(Path(path).read_bytes())
    return hasher.hexdigest()[:16]


setup(
    ext_modules=[
        Extension(
            "treegraft_grammars._simulator",
            sources=SOURCES,
            depends=HEADERS,
            include_dirs=[str(FOLDER / "simulator")],
            # The stable ABI of Python 3.11: one build for all later ones, and no slower.
            define_macros=[("TREEGRAFT_SOURCE_DIGEST", f'"{digest()}"'), ("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            extra_compile_args=["-O2", "-std=c11"],
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
