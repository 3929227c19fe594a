"""The embedded law's transformer: the same as the network that was trained, whatever way its text is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from treegraft_daemon.engine.model import embedded_network
from treegraft_daemon.engine.model.embedded_network import KEPT_PASSAGES, Branch, Network, Shape, common
from treegraft_daemon.engine.model.int8 import FOR_ANY, FOR_AVX2, FOR_THIS
from treegraft_daemon.engine.model.law import Cancelled
from treegraft_daemon.engine.model.window import CONTEXT, END, FIRST_MARK, PREFIX, PREFIX_TOKENS, SUFFIX

torch = pytest.importorskip("torch")

from treegraft_daemon.training import network as training  # noqa: E402

RNG = np.random.default_rng(0)
IDS = np.array([FIRST_MARK + 9, SUFFIX, *RNG.integers(1, 900, 40), PREFIX, *RNG.integers(1, 900, 260)], dtype=np.int32)
TINY = training.SHAPES["tiny"]


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def trained() -> training.Network:
    torch.manual_seed(1)
    network = training.Network(TINY)
    with torch.no_grad():
        for one in network.parameters():
            if one.ndim == 2:
                one.copy_(torch.randn_like(one) * 0.12)
    return network


@pytest.fixture(scope="module")
def folder(trained: training.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it is written after training, which also rounds the weights of `trained`."""
    folder = tmp_path_factory.mktemp("network")
    (folder / "shape.json").write_text(json.dumps(asdict(TINY)))
    training.save(trained, folder)
    return folder


@pytest.fixture
def network(folder: Path) -> Network:
    loaded = Network.load(folder)
    assert loaded is not None
    return loaded


def expected(trained: training.Network, ids: list[int]) -> NDArray[np.float64]:
    with torch.no_grad():
        logits = trained.logits(trained(torch.tensor([ids]), torch.float32))[0, -1, :FIRST_MARK]
    p = logits.double().softmax(-1).numpy()
    if ids[1] == SUFFIX:
        p[ids[2]] += p[END]
    p[END] = 0
    return p / p.sum()


def close(found: NDArray[np.float64] | None, wanted: NDArray[np.float64]) -> bool:
    return found is not None and bool(np.abs(found - wanted).max() < 1e-5 * wanted.max() + 1e-9)


@pytest.mark.parametrize("ids", [IDS, np.append(IDS[:1], IDS[42:])])
def test_a_passage_says_what_the_trained_network_says(
    network: Network, trained: training.Network, ids: NDArray[np.int32]
) -> None:
    passage = network.read(ids, never)
    assert close(passage.shares, expected(trained, ids.tolist()))
    assert passage.shares.sum() == pytest.approx(1)
    assert passage.shares[END] == 0, "the end of the middle is the beginning of the suffix, if there is one"


@pytest.mark.parametrize(("n_threads", "loops"), [(1, FOR_ANY), (1, FOR_AVX2), (3, FOR_THIS)])
def test_threads_and_loops_for_any_cpu_change_nothing(
    folder: Path, trained: training.Network, n_threads: int, loops: int
) -> None:
    other = Network.load(folder, n_threads, loops)
    assert other is not None and close(other.read(IDS, never).shares, expected(trained, IDS.tolist()))


def test_layers_that_are_added_change_nothing_at_first(trained: training.Network, folder: Path) -> None:
    larger = training.Network(replace(TINY, n_layers=2 * TINY.n_layers + 1))
    training.load(larger, folder)
    ids = torch.tensor(IDS[None, :100].astype(np.int64))
    with torch.no_grad():
        said = [one.logits(one(ids, torch.float32)) for one in (trained, larger)]
    assert torch.allclose(*said, atol=1e-5)
    outputs = [float(layer.o.detach().abs().sum()) for layer in larger.layers]
    assert sum(one > 0 for one in outputs) == TINY.n_layers, "each layer that there was is there once"


def test_a_forked_process_works_alone(folder: Path) -> None:
    """Threads do not come along."""
    threaded = Network.load(folder, 3)
    assert threaded is not None
    shares = threaded.read(IDS, never).shares

    def read_again() -> None:
        other = Network.load(folder, 3)
        same = other is not None and np.array_equal(other.read(IDS, never).shares, shares)
        threaded._passages = []
        assert same and np.array_equal(threaded.read(IDS, never).shares, shares)
        del other, threaded._reader

    process = get_context("fork").Process(target=read_again)
    process.start()
    process.join(30)
    process.kill()
    assert process.exitcode == 0


def test_branches_part_and_each_sees_its_own_past(network: Network, trained: training.Network) -> None:
    ids = IDS[:250]
    passage = network.read(ids, never)
    root = Branch(passage)
    rows = [root.step(11), root.step(12)]
    network.decode(rows)
    rows = [rows[0].step(21), rows[0].step(22), rows[1].step(21)]
    network.decode(rows)
    late = rows[2].step(31).step(32).step(33)  # those between were never asked for
    network.decode([late, root])
    for branch, written in (
        (rows[0], [11, 21]),
        (rows[1], [11, 22]),
        (rows[2], [12, 21]),
        (late, [12, 21, 31, 32, 33]),
    ):
        assert close(branch.shares, expected(trained, [*ids.tolist(), *written])), written
    assert root.shares is passage.shares


def test_what_is_longer_than_was_trained_on_is_read_anew(network: Network, trained: training.Network) -> None:
    ids = IDS[:250]
    branch, written = Branch(network.read(ids, never)), []
    for token in RNG.integers(1, 900, 400).tolist():
        written.append(token)
        branch = branch.step(token)
        if len(written) % 3:  # some are asked for only by those behind them
            network.decode([branch])
        assert branch.memory is None or len(branch.passage.ids) + branch.memory.shape[4] <= CONTEXT
    network.decode([branch, other := branch.before.step(7)])  # type: ignore[union-attr]
    n_since = branch.memory.shape[4]  # type: ignore[union-attr]
    start = ids.tolist().index(PREFIX) + 1
    text = [*ids[start:].tolist(), *written]
    end = len(text) - n_since
    for found, tail in ((branch, text[end:]), (other, [*text[end:-1], 7])):
        assert found.passage.ids.tolist() == [*ids[:start].tolist(), *text[end - PREFIX_TOKENS : end]]
        assert close(found.shares, expected(trained, [*found.passage.ids.tolist(), *tail]))


def test_what_was_read_is_not_read_again(
    network: Network, trained: training.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    step = Network._step

    def counted(self: Network, ids: NDArray[np.int32], *rest: object) -> object:
        read.append(ids.shape[1])
        return step(self, ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Network, "_step", counted)
    network.read(IDS[:250], never)
    assert sum(read) == 250
    read.clear()
    old = network.read(np.append(IDS[:250], np.int32(7)), never)
    assert sum(read) == 251 - 240, "from the last block that was whole"
    read.clear()
    again = network.read(np.append(IDS[:250], np.int32(7)), never)
    assert again is old and not read
    changed = IDS[:251].copy()
    changed[230] = 8
    found = network.read(changed, never)
    assert sum(read) == 251 - 224
    assert close(found.shares, expected(trained, changed.tolist()))
    branch = Branch(old).step(3)
    network.decode([branch])
    assert close(branch.shares, expected(trained, [*IDS[:250].tolist(), 7, 3])), "an older passage stays as it was"
    read.clear()
    network.read(old.ids, never)
    assert sum(read) == 251 - 224, "the one before last went when its text was read on from"


def test_what_was_read_before_changes_no_bit(network: Network, folder: Path) -> None:
    for n in (4, 15, 16, 17, 100, 130, 131, 132, 200, 260, 303):
        typed = network.read(IDS[:n], never)
        fresh = Network.load(folder)
        assert fresh is not None
        alone = fresh.read(IDS[:n], never)
        assert np.array_equal(typed.memory, alone.memory) and np.array_equal(typed.shares, alone.shares)


def test_few_passages_are_kept(network: Network) -> None:
    for first in range(1, KEPT_PASSAGES + 4):
        network.read(np.array([FIRST_MARK + first, PREFIX, 4, 5], dtype=np.int32), never)
    assert len(network._passages) == KEPT_PASSAGES


def test_a_cancelled_request_ends_between_two_pieces(network: Network) -> None:
    looks: list[bool] = []

    def cancelled() -> bool:
        looks.append(True)
        return len(looks) == 2

    with pytest.raises(Cancelled):
        network.read(IDS, cancelled)
    assert len(IDS) > 2 * embedded_network.PIECE and len(looks) == 2
    assert not network._passages


Change = Callable[[dict[str, NDArray[np.generic]]], object]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda weights: weights.pop("layers.1.up"), KeyError),
        (lambda weights: weights.update({"layers.0.q": weights["layers.0.k"]}), ValueError),
        (lambda weights: weights.update({"norm": weights["norm"][:-1]}), ValueError),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    network: Network, folder: Path, change: Change, error: type[Exception]
) -> None:
    weights = {name: one for path in folder.glob("network-*.npz") for name, one in np.load(path).items()}
    Network(network.shape, weights)
    change(weights)
    with pytest.raises(error):
        Network(network.shape, weights)


def test_without_weights_there_is_no_network(tmp_path: Path) -> None:
    assert Network.load(tmp_path) is None


def test_ids_that_the_network_does_not_have_are_refused(network: Network) -> None:
    with pytest.raises(IndexError):
        network.read(np.array([PREFIX, network.shape.n_ids], dtype=np.int32), never)


def test_the_length_of_what_is_common() -> None:
    a, b = np.array([1, 2, 3], dtype=np.int32), np.array([1, 2, 4, 5], dtype=np.int32)
    assert (common(a, b), common(a, a), common(a, a[:1]), common(a, a[:0])) == (2, 3, 1, 0)
    assert Shape(8256, 192, 512, 5, 3, 1, 1e4, 1e-5).head_dim == 64
