"""Whatever is read, forked, chosen and taken back in an arena, the logits are those of the whole text read anew."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from treegraft_daemon.engine.model.hub_network import load_hub
from treegraft_daemon.engine.model.hub_tokenizer import read_json
from treegraft_daemon.engine.model.kv_arena import Arena, Arenas, joined, n_common
from treegraft_daemon.engine.model.loading import _network
from treegraft_daemon.engine.model.network import Network, disagreement

Folder = Callable[[str], Path]
CPU = torch.device("cpu")


class Twin:
    """An arena, and beside it the texts that its rows stand for."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.arena = Arena()
        self.oracle = AutoModelForCausalLM.from_pretrained(folder)
        self.rows: list[list[int]] = [[]]

    def read(self, ids: list[int]) -> None:
        logits = self.network.next_logits(torch.tensor([ids]), self.arena.read(ids))
        self.rows = [self.arena.ids[:]]
        self.check(logits)

    def keep(self, n_tokens: int) -> None:
        self.arena.keep(n_tokens)
        self.rows = [self.rows[0][:n_tokens]]

    def fork(self, n: int) -> None:
        self.arena.fork(n)
        self.rows = [self.rows[0][:] for _ in range(n)]

    def step(self, tokens: list[int]) -> None:
        logits = self.network.next_logits(torch.tensor(tokens)[:, None], self.arena.append())
        self.rows = [[*row, token] for row, token in zip(self.rows, tokens, strict=True)]
        self.check(logits)

    def select(self, rows: list[int]) -> None:
        self.arena.select(rows)
        self.rows = [self.rows[row][:] for row in rows]

    def rewind(self, n_tokens: int) -> None:
        self.arena.rewind(n_tokens)
        self.rows = [row[: len(row) - n_tokens] for row in self.rows]

    def check(self, logits: torch.Tensor) -> None:
        assert self.arena.position == len(self.rows[0])
        with torch.no_grad():
            whole = self.oracle(torch.tensor(self.rows)).logits[:, -1]
        assert float((logits - whole).abs().max()) <= 1e-4


@pytest.fixture(params=["qwen", "llama", "starcoder", "gpt2"])
def twin(request: pytest.FixtureRequest, model_folder: Folder) -> Twin:
    folder = model_folder(request.param)
    return Twin(_network(folder, read_json(folder / "config.json")), folder)


def test_a_request_after_another(twin: Twin) -> None:
    twin.read([5, 6, 7, 8, 9] * 12)
    twin.read([10])
    twin.read([11, 12, 13])
    twin.fork(3)
    twin.step([20, 21, 22])
    twin.step([30, 31, 32])
    twin.select([2, 2, 0])
    twin.step([40, 41, 42])
    twin.select([1])
    twin.step([50])
    twin.select([0, 0, 0, 0, 0, 0])
    twin.step([1, 2, 3, 4, 5, 6])
    twin.rewind(2)
    twin.step([7, 7, 7, 8, 8, 8])
    twin.keep(33)
    twin.read([99, 98, 97])
    twin.fork(2)
    twin.step([1, 2])


def test_room_grows_under_what_is_there(twin: Twin) -> None:
    random.seed(5)
    twin.read([random.randrange(600) for _ in range(100)])
    twin.fork(2)
    twin.arena._slots = twin.arena._rows = 2  # as if buffers were smaller than a first use makes them
    twin.arena._tails.clear()
    for _ in range(9):
        twin.step([random.randrange(600) for _ in twin.rows])
    twin.select([1, 0, 1, 0, 1])
    twin.step([5, 4, 3, 2, 1])
    twin.keep(90)
    twin.arena._capacity = 90
    twin.arena._prefix = [(k[:, :90].clone(), v[:, :90].clone()) for k, v in twin.arena._prefix]
    twin.read([3] * 40)
    assert twin.arena._capacity == 180


def test_trying_out_leaves_the_rows_alone(twin: Twin) -> None:
    twin.read(list(range(30, 60)))
    twin.fork(2)
    twin.step([3, 4])
    paths = [[7, 8], [9, 10], [7, 11]]
    logits = twin.network.next_logits(torch.tensor(paths), twin.arena.try_out(1, 3, 2))
    with torch.no_grad():
        whole = twin.oracle(torch.tensor([twin.rows[1] + path for path in paths])).logits[:, -1]
    assert float((logits - whole).abs().max()) <= 1e-4
    twin.step([5, 6])


def test_random_life(model_folder: Folder) -> None:
    for name, seed in (("qwen", 1), ("starcoder", 2)):
        folder = model_folder(name)
        twin = Twin(_network(folder, read_json(folder / "config.json")), folder)
        draw = random.Random(seed)
        twin.read([draw.randrange(600) for _ in range(40)])
        twin.fork(2)
        for _ in range(40):
            what = draw.choice(["step", "step", "step", "select", "rewind", "fork", "read"])
            if what == "step":
                twin.step([draw.randrange(600) for _ in twin.rows])
            elif what == "select":
                twin.select([draw.randrange(len(twin.rows)) for _ in range(draw.randint(1, 5))])
            elif what == "rewind":
                twin.rewind(draw.randint(0, twin.arena.n_tail))
            elif what == "fork":
                twin.keep(len(twin.arena.ids))
                twin.fork(draw.randint(1, 4))
            else:
                twin.keep(draw.randint(0, len(twin.arena.ids)))
                twin.read([draw.randrange(600) for _ in range(draw.randint(1, 30))])
                twin.fork(1)


def test_the_family_by_way_of_transformers_agrees_too(model_folder: Folder) -> None:
    for name in ("qwen", "llama"):
        folder = model_folder(name)
        network = load_hub(folder, read_json(folder / "config.json"), CPU, torch.float32)
        assert disagreement(network, list(range(1, 60))) < 1e-5


def test_a_state_that_cannot_be_taken_back_is_noticed(model_folder: Folder) -> None:
    """A network that remembers by itself, as recurrent ones do, is told from one that uses the arena."""
    folder = model_folder("qwen")
    network = _network(folder, read_json(folder / "config.json"))

    class Forgetful:
        device, vocab_size, context = network.device, network.vocab_size, network.context
        all_logits = staticmethod(network.all_logits)

        def next_logits(self, ids: torch.Tensor, span: object) -> torch.Tensor:
            return torch.stack([network.all_logits(row)[-1] for row in ids])

    assert disagreement(Forgetful(), list(range(1, 60))) > 0.01


def test_documents_keep_their_arenas_until_others_need_the_room() -> None:
    arenas = Arenas(n_kept=2)
    first, second = arenas.of("a"), arenas.of("b")
    assert arenas.of("a") is first
    first.ids, second.ids = [1, 2], [3]
    first.in_use = second.in_use = False
    third = arenas.of("c")
    assert third is second and third.ids == []
    assert arenas.of("a").ids == [1, 2]
    assert arenas.of("b").ids == []


def test_an_arena_in_use_is_given_to_no_other_document() -> None:
    arenas = Arenas(n_kept=2)
    used = [arenas.of(name) for name in "abc"]
    assert len(set(map(id, used))) == 3
    used[0].in_use = used[2].in_use = False
    assert arenas.of("d") in (used[0], used[2])
    for one in used:
        one.in_use = False
    arenas.of("e")
    assert len(arenas._arenas) == 2


@pytest.mark.parametrize("name", ["qwen", "llama", "even_qwen", "starcoder", "gpt2"])
def test_rows_of_several_arenas_in_one_pass_are_those_of_each_alone(model_folder: Folder, name: str) -> None:
    folder = model_folder(name)
    network = _network(folder, read_json(folder / "config.json"))
    assert network.joins
    sizes = [(3, 1), (70, 4), (41, 2)]  # tokens of the prefix, rows
    together, apart = [], []
    for arenas in (together, apart):
        for n_prefix, n_rows in sizes:
            arena = Arena()
            ids = [(3 * place + n_prefix) % 600 for place in range(n_prefix)]
            network.next_logits(torch.tensor([ids]), arena.read(ids))
            arena.fork(n_rows)
            arenas.append(arena)
    for step in range(4):
        ids = [torch.tensor([[(7 * row + step + n_prefix) % 600] for row in range(n)]) for n_prefix, n in sizes]
        found = network.next_logits(torch.cat(ids), joined([arena.append() for arena in together]))
        alone = [network.next_logits(its, arena.append()) for its, arena in zip(ids, apart, strict=True)]
        assert torch.allclose(found, torch.cat(alone), atol=1e-4), step
        for arenas in (together, apart):
            arenas[1].select([2, 2, 0, 1])
            arenas[2].rewind(step % 2)


@pytest.mark.parametrize(
    ("left", "right", "n"), [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2, 3], [1, 2], 2), ([1, 5], [1, 6], 1)]
)
def test_common_beginning(left: list[int], right: list[int], n: int) -> None:
    assert n_common(left, right) == n
