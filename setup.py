"""Builds the native simulator, the native decoder, the urn and the mixture; everything else is in pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import Extension, setup

GRAMMARS = Path("grammars/treegraft_grammars")
MODEL = Path("daemon/treegraft_daemon/engine/model")
source_digest = runpy.run_path(str(GRAMMARS / "native.py"))["source_digest"]


def extension(pyx: Path, folder: Path, flags: list[str]) -> Extension:
    """A module of one Cython file and a folder of C, with the digest of both compiled in."""
    package = ".".join(pyx.parent.parts[1:])
    return Extension(
        f"{package}.{pyx.stem}",
        sources=[str(pyx), *map(str, sorted(folder.glob("*.c")))],
        depends=[str(path) for path in sorted(folder.glob("*.h"))],
        include_dirs=[str(folder)],
        # The stable ABI of Python 3.11: one build for all later ones, and no slower.
        define_macros=[
            ("TREEGRAFT_SOURCE_DIGEST", f'"{source_digest(pyx, folder)}"'),
            ("Py_LIMITED_API", "0x030B0000"),
        ],
        py_limited_api=True,
        extra_compile_args=flags,
        extra_link_args=["-pthread", "-lm"],
    )


setup(
    ext_modules=[
        extension(GRAMMARS / "_simulator.pyx", GRAMMARS / "simulator", ["-O2", "-std=c11"]),
        # gnu11 contracts a * b + c, which is most of what the decoder does; psabi warns of vectors that are never passed.
        extension(MODEL / "_urn.pyx", MODEL / "urn", ["-O3", "-std=gnu11", "-Wno-psabi"]),
        extension(MODEL / "_mixing.pyx", MODEL / "mixing", ["-O3", "-std=gnu11"]),
        extension(MODEL / "_decoder.pyx", MODEL / "native", ["-O3", "-std=gnu11", "-pthread", "-Wno-psabi"]),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
