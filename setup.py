"""Builds the native simulator and the native decoder; everything else is in pyproject.toml."""

import hashlib
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path("grammars/treegraft_grammars")
MODEL = Path("daemon/treegraft_daemon/engine/model")
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
        ),
        Extension(
            "treegraft_daemon.engine.model._decoder",
            sources=[str(MODEL / "_decoder.pyx"), str(MODEL / "native" / "decoder.c")],
            depends=[str(path) for path in sorted((MODEL / "native").glob("*.h"))],
            include_dirs=[str(MODEL / "native")],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            # gnu11 contracts a * b + c, which is most of what is done here; psabi warns of vectors that are never passed.
            extra_compile_args=["-O3", "-std=gnu11", "-pthread", "-Wno-psabi"],
            extra_link_args=["-pthread"],
        ),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
