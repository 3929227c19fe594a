"""The training pipeline on a corpus made here: from archives to a law that has learned something."""

from __future__ import annotations

import json
import random
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from treegraft_daemon.engine.model.law import OpenFile
from treegraft_daemon.engine.model.linewise import LineTokenizer
from treegraft_daemon.engine.model.mixture import SLOTS, MixtureLaw, Tables, Weights
from treegraft_daemon.engine.model.tilt import Tilt
from treegraft_daemon.training import corpus, fitting, sources, tilting
from treegraft_daemon.training.__main__ import build_tables, fit, fit_tilt
from treegraft_daemon.training.corpus import SourceFile
from treegraft_daemon.training.holes import Hole, cut, holes, nearest
from treegraft_daemon.training.sources import Package, is_permissive, language_of_source

NAMES = ["load", "store", "count", "merge", "split", "parse", "render", "fetch"]


def module(rng: random.Random) -> bytes:
    """A little Python file out of few idioms."""
    lines = ["import os", "import sys", ""]
    for _ in range(12):
        name, other = rng.choice(NAMES), rng.choice(NAMES)
        lines += [f"def {name}_{other}(self, value):", "    if value is None:", f"        return self.{name}(value)"]
        lines += [f"    for item in self.{other}_items:", "        yield item", ""]
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def files() -> list[SourceFile]:
    rng = random.Random(3)
    return [SourceFile(f"pip-{p}", f"{p}/m{n}.py", "python", module(rng)) for p in range(6) for n in range(8)]


@pytest.fixture(scope="module")
def folder(files: list[SourceFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("law")
    corpus.train_tokenizer(files, 2_000_000, size=400).save(str(made / "tokenizer.json"))
    tokens = corpus.tokenize(files[:32], made / "tokenizer.json")
    build_tables(tokens, {"python": 60_000}, 400).save(made)
    return made


def test_fitted_weights_beat_unfitted_ones(files: list[SourceFile], folder: Path) -> None:
    fit(files[32:40], folder, {"python": 60})
    fitted = json.loads((folder / "weights.json").read_text())
    flat = Weights({"any": np.full((len(SLOTS), 128), 0.25)})
    law = MixtureLaw(LineTokenizer.load(folder / "tokenizer.json"), Tables.load(folder), flat)
    examples = fitting.gather(law, holes(files[40:], "python", 40, 1, 0.5))
    unfitted = {"slots": [-1.1] * len(SLOTS), "buckets": np.zeros((len(SLOTS), 128)).tolist()}
    unfitted["kinds"] = dict.fromkeys(examples.names, [0.0] * len(SLOTS))
    assert fitting.nats(examples, fitted) < fitting.nats(examples, unfitted) - 0.05
    assert fitting.nats(examples, fitted) < 1.5


def nats_served(law: MixtureLaw, drawn: list[Hole]) -> float:
    """Mean log-loss of the law as it is asked in service."""
    loss, n_tokens = 0.0, 0
    for hole in drawn:
        state, truth = fitting.walk(law, hole)
        for token in truth:
            loss -= float(np.log(state.law()[token]))
            n_tokens += 1
            state = state.step(token)
    return loss / n_tokens


def test_what_is_fitted_is_what_is_served(files: list[SourceFile], folder: Path) -> None:
    """The fit's loss, from its gathered features, equals the runtime's log-law."""
    fit(files[32:40], folder, {"python": 20})
    law = MixtureLaw(
        LineTokenizer.load(folder / "tokenizer.json"), Tables.load(folder), Weights.load(folder / "weights.json")
    )
    drawn = list(holes(files[40:], "python", 10, 2, 0.5))
    weights = json.loads((folder / "weights.json").read_text())
    assert nats_served(law, drawn) == pytest.approx(fitting.nats(fitting.gather(law, drawn), weights), rel=1e-5)


def test_a_fitted_tilt_helps_and_is_what_is_served(files: list[SourceFile], folder: Path) -> None:
    """The network's loss in training, from what it saw, equals the runtime's; and is lower than that of the mixture alone."""
    fit(files[32:40], folder, {"python": 60})
    mixture = MixtureLaw(
        LineTokenizer.load(folder / "tokenizer.json"), Tables.load(folder), Weights.load(folder / "weights.json")
    )
    fit_tilt(files[32:40], folder, {"python": 160}, epochs=150)
    tilt = Tilt.load(mixture.vocabulary.tokens, folder / "tilt.npz", len(SLOTS))
    tilted = MixtureLaw(mixture.tokenizer, mixture.tables, mixture.weights, tilt)
    drawn = list(holes(files[40:], "python", 30, 2, 0.5))
    served = nats_served(tilted, drawn)
    assert served < nats_served(mixture, drawn) - 0.01
    with np.load(folder / "tilt.npz") as weights:
        assert served == pytest.approx(tilting.nats_of(dict(weights), tilting.gather(mixture, drawn)), rel=1e-3)


def test_holes_at_the_start_of_a_line(files: list[SourceFile]) -> None:
    whole = [
        hole
        for hole in holes(files, "python", 200, 4, 0.0, whole_lines=0.5)
        if hole.context.prefix[-1:] in (b"\n", b"")
    ]
    assert 80 < len(whole) < 130
    for hole in whole:
        assert hole.middle.strip() and b"\n" not in hole.middle
        assert hole.context.prefix + hole.middle + hole.context.suffix in {file.text for file in files}


def test_gradients_are_slopes() -> None:
    rng = np.random.default_rng(0)
    n, n_slots = 30, len(SLOTS)
    examples = fitting.Examples(
        rng.integers(-1, 5, (n, n_slots)).astype(np.int16),
        rng.random((n, n_slots)).astype(np.float32),
        rng.random(n) * 0.1 + 0.01,
        rng.integers(0, 2, n).astype(np.int16),
        ["a", "b"],
    )
    groups = [rng.normal(size=n_slots), rng.normal(size=(n_slots, 128)), rng.normal(size=(2, n_slots))]
    _, gradients = fitting._gradients(examples, *groups)
    for group, gradient in zip(groups, gradients, strict=True):
        for place in list(np.ndindex(group.shape))[:: max(group.size // 7, 1)]:
            kept = group[place]
            group[place] = kept + 1e-5
            above, _ = fitting._gradients(examples, *groups)
            group[place] = kept - 1e-5
            below, _ = fitting._gradients(examples, *groups)
            group[place] = kept
            assert gradient[place] == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_holes_take_the_rest_of_a_line_out(files: list[SourceFile]) -> None:
    by_text = {file.path: file.text for file in files}
    for hole in holes(files, "python", 50, 4, 1.0):
        context = hole.context
        assert context.prefix + hole.middle + context.suffix == by_text[context.path]
        assert hole.middle.strip() and b"\n" not in hole.middle
        assert context.suffix == b"" or context.suffix.startswith(b"\n")
        assert context.path not in [file.path for file in context.siblings]
        assert len(context.siblings) == 5


def test_siblings_of_the_same_folder_come_first() -> None:
    package = [SourceFile("p", path, "python", path.encode()) for path in ("a/x.py", "b/y.py", "a/z.py", "c/v.py")]
    found = nearest(package[0], package, random.Random(0))
    assert found[0] == OpenFile("a/z.py", b"a/z.py")
    assert len(found) == 3


def test_a_hole_never_begins_in_the_indentation() -> None:
    file = SourceFile("p", "a.py", "python", "\n        déjà = 1  \n".encode())
    for seed in range(30):
        assert cut(file, (), random.Random(seed)).context.prefix.startswith(b"\n        ")


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("MIT", True),
        ("Apache-2.0 OR LGPL-2.1", True),
        ("BSD-3-clause", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0", False),
        ("MPL-2.0", False),
        ("unknown", False),
        ("Apache-2.0 AND GPL-2.0", False),
        ("SSPL", False),
    ],
)
def test_only_permissive_licences(licence: str, good: bool) -> None:
    assert is_permissive(licence) == good


@pytest.mark.parametrize(
    ("path", "data", "language"),
    [
        ("pkg/a.py", b"x = 1\n" * 50, "python"),
        ("pkg/_vendor/a.py", b"x = 1\n" * 50, None),
        ("lib/a.min.js", b"x = 1\n" * 50, None),
        ("lib/a.js", b"x=1;" * 5000 + b"\n", None),
        ("a.h", b"namespace a { int x; }\n" * 20, "cpp"),
        ("a.h", b"int x(void);\n" * 30, "c"),
        ("a.go", b"// Code generated by tool. DO NOT EDIT.\n" + b"var x = 1\n" * 50, None),
        ("a.py", b"\xff\xfe = 1\n" * 50, None),
        ("a.txt", b"words\n" * 50, None),
        ("a.py", b"x\n", None),
    ],
)
def test_only_what_a_person_wrote(path: str, data: bytes, language: str | None) -> None:
    assert language_of_source(path, data) == language


def test_a_fetched_wheel_is_read_with_its_licence(tmp_path: Path) -> None:
    """No client runs: the archive is there already."""
    archives = tmp_path / "archives" / "pip-thing"
    archives.mkdir(parents=True)
    with zipfile.ZipFile(archives / "thing-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing-1.2.dist-info/METADATA", "Name: thing\nVersion: 1.2\nLicense-Expression: MIT\n\nAbout\n")
        wheel.writestr("thing/core.py", "def go():\n    return 1\n" * 30)
        wheel.writestr("../outside.py", "def go():\n    return 2\n" * 30)
    [found] = sources.fetch_all([Package("pip", "thing", "*", "train", "?")], tmp_path)
    assert (found.version, found.licence) == ("1.2", "MIT")
    paths = [path for path, _, _ in sources.files_of(found, tmp_path)]
    assert paths == ["outside.py", "thing/core.py"]
    assert not (tmp_path / "outside.py").exists()


def test_copies_of_held_out_code_are_dropped(tmp_path: Path) -> None:
    lines = [f"def function_number_{n}(argument, other):\n    return argument * {n} + other\n" for n in range(40)]
    new = [line.replace("function", "procedure").replace("argument", "parameter") for line in lines]
    for key, text in {
        "pip-test": "".join(lines),
        "pip-same": "".join(lines),
        "pip-most": "".join(lines[:30]) + "".join(new[30:]),
        "pip-own": "".join(new) + "".join(lines[:2]),
    }.items():
        target = tmp_path / "files" / key / "a.py"
        target.parent.mkdir(parents=True)
        target.write_text(text)
    packages = [
        Package("pip", name, "1", "test" if name == "test" else "train", "MIT") for name in ("same", "most", "own")
    ]
    parts = corpus.read([Package("pip", "test", "1", "test", "MIT"), *packages], tmp_path)
    assert [file.package for file in parts["train"]] == ["pip-own"]
    assert [file.package for file in parts["test"]] == ["pip-test"]


def test_the_table_names_parts_and_holds_nobody_twice() -> None:
    rows = sources.table()
    assert len({row.key for row in rows}) == len(rows)
    assert {row.part for row in rows} == {"train", "dev", "test"}
    python = {
        row.part: {other.name for other in rows if other.part == row.part and other.registry == "pip"} for row in rows
    }
    assert python["test"] >= {"click", "flask", "jinja2", "werkzeug", "rich", "aiohttp", "httpx", "attrs", "networkx"}
    assert python["dev"] >= {"tornado", "requests", "starlette", "fastapi", "black", "pytest"}


@pytest.mark.slow
def test_a_network_is_trained_from_packed_text_and_written_in_int8(
    files: list[SourceFile],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("torch")
    from treegraft_daemon.training import network, packing

    monkeypatch.setattr(packing, "JUDGED", {"python": 6})
    parts = {"train": files[:32], "dev": files[32:40], "test": files[40:]}
    packing.pack(parts, folder / "tokenizer.json", tmp_path / "data", 1)
    data = tmp_path / "data" / "0"
    tokens = network.read_documents(data, "train")["python"]
    assert tokens.tolist() == corpus.tokenize(files[:8], folder / "tokenizer.json")["pip-0"]["python"].tolist() + [
        token
        for name in ("pip-1", "pip-2", "pip-3")
        for token in corpus.tokenize(files[:32], folder / "tokenizer.json")[name]["python"].tolist()
    ]
    arguments = ["--data", str(data), "--out", str(tmp_path / "out"), "--steps", "14", "--rows", "1", "--shape", "tiny"]
    network.train(network.options().parse_args([*arguments, "--workers", "0"]))
    holes_read = np.load(tmp_path / "out" / "holes-test.npz")
    assert -holes_read["logp"].mean() < np.log(400), "it has learned more than which tokens there are"
    weights = {name: one for n in range(3) for name, one in np.load(tmp_path / "out" / f"network-{n}.npz").items()}
    assert weights["layers.1.down"].dtype == np.int8
    assert weights["layers.1.down.scales"].shape == (128, 256 // network.GROUP)
    [ended] = re.findall(r"([\d.]+) nats with rounded weights", capsys.readouterr().out)
    more = ["--start", str(tmp_path / "out"), "--out", str(tmp_path / "more"), "--seed", "2"]
    network.train(network.options().parse_args([*arguments, "--workers", "0", *more, "--steps", "6"]))
    [began] = re.findall(r"starts at ([\d.]+) nats", capsys.readouterr().out)
    assert float(began) == pytest.approx(float(ended), abs=2e-4), "training goes on from what was written"
    assert (tmp_path / "more" / "network-0.npz").exists()


@pytest.mark.parametrize(("n_heads", "n_kv_heads"), [(3, 1), (4, 2), (2, 2)])
def test_attention_on_a_cpu_is_attention(n_heads: int, n_kv_heads: int) -> None:
    torch = pytest.importorskip("torch")
    from treegraft_daemon.training.network import attended

    q, k, v = (torch.randn(2, 17, n, 8) for n in (n_heads, n_kv_heads, n_kv_heads))
    wide_k, wide_v = (one.repeat_interleave(n_heads // n_kv_heads, dim=2).transpose(1, 2) for one in (k, v))
    wanted = torch.nn.functional.scaled_dot_product_attention(q.transpose(1, 2), wide_k, wide_v, is_causal=True)
    assert torch.allclose(attended(q, k, v), wanted.transpose(1, 2).reshape(2, 17, -1), atol=1e-5)


def test_the_window_marks_the_ends_of_a_document() -> None:
    from treegraft_daemon.engine.model.window import END, LANGUAGE, OTHER, PREFIX, PREFIX_STEP, SUFFIX, window

    short = window("python", [5, 6], [7, 8], whole_suffix=True).tolist()
    assert short == [LANGUAGE["python"], SUFFIX, 7, 8, END, PREFIX, END, 5, 6]
    assert window("unknown", [5], [], whole_suffix=True).tolist() == [OTHER, PREFIX, END, 5]
    long = [window("go", list(range(1, 700 + n)), [7] * 200, whole_suffix=True).tolist() for n in range(PREFIX_STEP)]
    starts = {tuple(one[: one.index(PREFIX) + 2]) for one in long}
    assert len(starts) == 2, "the start of the prefix moves once in so many keystrokes"
    assert all(END not in one for one in long)
