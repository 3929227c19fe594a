"""The native decoder against the plain one with the same rounded weights: every shape, span and set of loops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sanitizers import CLEAN, drive
from treegraft_daemon.engine.model import int8_network
from treegraft_daemon.engine.model.decoder import Decoder, Shape
from treegraft_daemon.engine.model.int8 import FOR_ANY, FOR_AVX2, FOR_THIS, GROUP, matrix, rounded
from treegraft_daemon.engine.model.int8_network import Int8Network, fits, load_int8
from treegraft_daemon.engine.model.kv_arena import Arena, joined
from treegraft_daemon.engine.model.loading import load_folder
from treegraft_daemon.engine.model.network import PlainNetwork, disagreement, weights_of
from treegraft_daemon.engine.model.transformer import TransformerLaw

Folder = Callable[[str], Path]
IDS = [(7 * place) % 600 for place in range(1, 320)]


@pytest.fixture(scope="module", params=["even_qwen", "even_llama"])
def shape_and_folder(request: pytest.FixtureRequest, model_folder: Folder) -> tuple[Shape, Path]:
    folder = model_folder(request.param)
    return Shape.from_config(json.loads((folder / "config.json").read_text())), folder


def widened(folder: Path, shape: Shape) -> PlainNetwork:
    """The plain decoder with the weights as they are rounded."""
    weights = {}
    for name, tensor in weights_of(folder, shape, torch.device("cpu"), torch.float32):
        wide = np.ascontiguousarray(tensor.numpy())
        if wide.ndim == 2:
            codes, scales = rounded(wide)
            wide = np.repeat(scales, GROUP, axis=1) * codes
        weights[name] = torch.from_numpy(wide)
    if shape.tied:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    with torch.device("meta"):
        decoder = Decoder(shape)
    decoder.load_state_dict(weights, assign=True)
    return PlainNetwork(decoder)


@pytest.mark.parametrize("loops", [FOR_ANY, FOR_AVX2, FOR_THIS])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_logits_are_the_plain_decoders(shape_and_folder: tuple[Shape, Path], n_threads: int, loops: int) -> None:
    shape, folder = shape_and_folder
    ours = load_int8(folder, shape, n_threads=n_threads, loops=loops)
    expected = widened(folder, shape).all_logits(torch.tensor(IDS))
    found = ours.all_logits(torch.tensor(IDS))
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4 * max(1.0, float(expected.abs().max()))
    assert torch.equal(ours.all_logits(torch.tensor(IDS), 3), found[-3:])
    assert disagreement(ours, IDS[:60]) < 1e-5


@given(
    n_prefix=st.integers(1, 90),
    n_rows=st.integers(1, 9),
    n_before=st.integers(0, 4),
    n_tokens=st.integers(1, 3),
    loops=st.sampled_from([FOR_AVX2, FOR_THIS]),
)
@settings(max_examples=80, deadline=None)
def test_rows_beside_rows_are_the_plain_decoders(
    shape_and_folder: tuple[Shape, Path], n_prefix: int, n_rows: int, n_before: int, n_tokens: int, loops: int
) -> None:
    """Prefix, tails and what is tried out beside them, in all numbers of rows: each has loops of its own."""
    shape, folder = shape_and_folder
    spans = []
    for network in (load_int8(folder, shape, loops=loops), widened(folder, shape)):
        arena = Arena()
        network.next_logits(torch.tensor([IDS[:n_prefix]]), arena.read(IDS[:n_prefix]))
        arena.fork(n_rows)
        for step in range(n_before):
            ids = torch.tensor([[(11 * row + step) % 600] for row in range(n_rows)])
            network.next_logits(ids, arena.append())
        paths = torch.tensor([[(5 * row + 3 * token) % 600 for token in range(n_tokens)] for row in range(2)])
        spans.append(network.next_logits(paths, arena.try_out(n_rows - 1, 2, n_tokens)))
        arena.select([n_rows - 1, 0])
        spans.append(network.next_logits(torch.tensor([[3], [4]]), arena.append()))
    assert float((spans[0] - spans[2]).abs().max()) < 2e-3
    assert float((spans[1] - spans[3]).abs().max()) < 2e-3


@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 9)), min_size=2, max_size=5),
    loops=st.sampled_from([FOR_ANY, FOR_AVX2, FOR_THIS]),
)
@settings(max_examples=40, deadline=None)
def test_rows_of_several_arenas_in_one_pass(
    shape_and_folder: tuple[Shape, Path], sizes: list[tuple[int, int]], loops: int
) -> None:
    shape, folder = shape_and_folder
    network = load_int8(folder, shape, loops=loops)
    found = []
    for together in (True, False):
        arenas = []
        for n_prefix, n_rows in sizes:
            arena = Arena()
            network.next_logits(torch.tensor([IDS[:n_prefix]]), arena.read(IDS[:n_prefix]))
            arena.fork(n_rows)
            arenas.append(arena)
        for step in range(2):
            ids = [torch.tensor([[(11 * row + step + n) % 600] for row in range(n)]) for _, n in sizes]
            if together:
                found.append(network.next_logits(torch.cat(ids), joined([arena.append() for arena in arenas])))
            else:
                alone = [network.next_logits(its, arena.append()) for its, arena in zip(ids, arenas, strict=True)]
                found.append(torch.cat(alone))
    assert torch.allclose(found[0], found[2], atol=1e-4)
    assert torch.allclose(found[1], found[3], atol=1e-4)


def test_a_law_of_a_model_on_a_cpu_is_rounded_unless_told_otherwise(model_folder: Folder) -> None:
    folder = model_folder("even_qwen")
    laws = [load_folder(folder, "even", precision=precision) for precision in ("auto", "full")]
    assert all(isinstance(law, TransformerLaw) for law in laws)
    assert [type(law._network) for law in laws] == [Int8Network, PlainNetwork]  # type: ignore[attr-defined]


def test_sizes_without_loops_stay_with_the_plain_decoder(model_folder: Folder) -> None:
    folder = model_folder("qwen")
    assert not fits(Shape.from_config(json.loads((folder / "config.json").read_text())))
    law = load_folder(folder, "uneven")
    assert isinstance(law, TransformerLaw) and isinstance(law._network, PlainNetwork)


@given(st.integers(1, 5), st.floats(1e-6, 1e4), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_rounding_is_to_the_nearest_of_255_steps(rows: int, size: float, seed: int) -> None:
    wide = (np.random.default_rng(seed).standard_normal((rows, 2 * GROUP)) * size).astype(np.float32)
    wide[0, :GROUP] = 0
    codes, scales = rounded(wide)
    error = np.abs(np.repeat(scales, GROUP, axis=1) * codes - wide)
    assert (error <= np.repeat(scales, GROUP, axis=1) * 0.501).all()
    assert np.abs(codes).max() <= 127 and not codes[0, :GROUP].any()


@pytest.mark.parametrize("loops", [FOR_ANY, FOR_AVX2, FOR_THIS])
@pytest.mark.parametrize("n_rows", [64, 70])
def test_arrays_that_are_read_begin_at_a_cache_line_or_stay_where_they_are(n_rows: int, loops: int) -> None:
    codes, scales = rounded(np.random.default_rng(0).standard_normal((n_rows, 2 * GROUP)).astype(np.float32))
    made = matrix(codes, scales, loops=loops)
    assert (made.rows, made.columns) == (n_rows, 2 * GROUP)
    if made.codes is not codes:
        assert made.codes.ctypes.data % 64 == made.scales.ctypes.data % 64 == 0
        assert made.codes.nbytes == -(-n_rows // 16) * 16 * 2 * GROUP


def test_an_unknown_token_is_refused(shape_and_folder: tuple[Shape, Path]) -> None:
    shape, folder = shape_and_folder
    with pytest.raises(IndexError):
        load_int8(folder, shape).all_logits(torch.tensor([shape.vocab_size]))


def test_threads_end_with_the_network(shape_and_folder: tuple[Shape, Path]) -> None:
    shape, folder = shape_and_folder
    before = n_threads_of_process()
    for _ in range(30):
        load_int8(folder, shape, n_threads=4).all_logits(torch.tensor(IDS[:5]))
    assert n_threads_of_process() <= before


def n_threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(tmp_path: Path, sanitizer: str) -> None:
    source = Path(int8_network.__file__).parent / "native" / "decoder.c"
    assert drive(Path(__file__).parent / "drive_decoder.c", source, tmp_path, sanitizer) == CLEAN
