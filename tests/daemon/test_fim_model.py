"""A model that was trained to fill middles, by the way of any model of the hub: the embedded transformer as a directory."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import fim_model
from treegraft_daemon.engine.completion import suggest
from treegraft_daemon.engine.model.embedded_network import Network, _shares
from treegraft_daemon.engine.model.law import Context, OpenFile, alone
from treegraft_daemon.engine.model.loading import choose_format, load_folder
from treegraft_daemon.engine.model.prompt import PSM, SPM, arrange
from treegraft_daemon.engine.model.transformer import TransformerLaw
from treegraft_daemon.engine.model.window import LANGUAGE, PREFIX, SUFFIX, window
from treegraft_grammars import Judge
from treegraft_protocol.messages import Complete

# Code that nobody here wrote, and that is on every machine.
FILES = [Path(json.__file__).with_name(name) for name in ("encoder.py", "decoder.py", "scanner.py")]


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> TransformerLaw:
    folder = tmp_path_factory.mktemp("fim")
    fim_model.write(folder)
    loaded = load_folder(folder, "fim", precision="full")
    assert isinstance(loaded, TransformerLaw)
    return loaded


def holes(n: int, seed: int = 1) -> list[tuple[bytes, bytes, bytes]]:
    """Rests of lines: what stands before, the rest, and what stands below."""
    rng, found = random.Random(seed), []
    while len(found) < n:
        text = rng.choice(FILES).read_bytes()
        cursor = rng.randrange(len(text))
        end = text.find(b"\n", cursor)
        if end - cursor >= 4 and text[cursor - 1 : cursor] in b" (,.=":
            found.append((text[:cursor], text[cursor:end], text[end:]))
    return found


def log_probability(law: TransformerLaw, ids: tuple[int, ...], middle: tuple[int, ...]) -> float:
    laws = law._network.all_logits(torch.tensor(ids + middle), len(middle) + 1)[:-1].log_softmax(-1)
    return float(laws.gather(1, torch.tensor(middle)[:, None]).sum())


def test_it_is_known_by_its_tokens(law: TransformerLaw) -> None:
    assert law._form.order == SPM and (law._form.prefix, law._form.suffix, law._form.middle) == (PREFIX, SUFFIX, -1)
    assert law._form.start == (LANGUAGE["python"],) and 0 in law.end_tokens


def test_its_logits_are_those_of_the_law_that_ships(law: TransformerLaw) -> None:
    """Two decoders of one model: this one in torch with weights made wide, that one by loops over bytes."""
    network = Network.load(fim_model.EMBEDDED)
    assert network is not None
    for before, _, below in holes(8):
        prefix, suffix = law._tokenizer.read(before), law._tokenizer.read(below)
        ids = window("python", prefix, suffix, whole_suffix=True)
        logits = law._network.all_logits(torch.tensor(ids.astype(np.int64)), 1)[-1:].numpy()
        ours, theirs = _shares(logits, ids), network.read(ids, lambda: False).shares
        assert np.abs(ours - theirs).max() < 1e-4


def test_the_probe_finds_the_order_it_was_trained_in(law: TransformerLaw) -> None:
    orders = [replace(law._form, order=order) for order in (PSM, SPM)]
    assert choose_format(law._network, law._tokenizer, orders).order == SPM
    assert choose_format(law._network, law._tokenizer, orders[::-1]).order == SPM


def test_the_suffix_tells_what_is_missing(law: TransformerLaw) -> None:
    """What stands between is more probable with what follows than without it, and than with what follows elsewhere."""
    read, places = law._tokenizer.read, holes(60, seed=2)
    gained, lost = [], []
    for (before, rest, below), (_, _, elsewhere) in zip(places, places[1:] + places[:1], strict=True):
        end = max(rest.rfind(mark) for mark in (b")", b"]", b":"))
        if end < 2:
            continue
        prefix, middle = read(before[-300:]), read(rest[:end])
        after = (rest[end:] + below, elsewhere)
        told, misled = (law._form.start + arrange(law._form, prefix, read(text[:150])) for text in after)
        untold = (*law._form.start, PREFIX, *prefix)
        p = log_probability(law, told, middle)
        gained.append(p - log_probability(law, untold, middle))
        lost.append(p - log_probability(law, misled, middle))
    assert len(gained) >= 20 and np.mean(gained) > 0.5 and np.mean(lost) > 0.5


def test_its_suggestions_add_no_error_and_begin_as_the_author_went_on(law: TransformerLaw) -> None:
    """Nearly half of them do."""
    judge, alike, said = Judge("python"), 0, 0
    for number, (before, rest, below) in enumerate(holes(40, seed=3)):
        request = Complete(id=number, document="a.py", version=number, offset=len(before), language="python")
        context = Context("a.py", "/x/a.py", "python", before, below, (OpenFile("/x/b.py", b"import json\n"),))
        answer = alone(law, suggest(request, context, law))
        assert answer.constrained
        for item in answer.items:
            said += 1
            assert not judge.adds_error(before, item.text, below)
            alike += first_word(item.text) == first_word(rest)
    assert said >= 25 and alike >= said * 0.2, (said, alike)


def first_word(text: bytes) -> bytes:
    found = re.match(rb"\s*(\w+|\W)", text)
    return found[1] if found else b""
