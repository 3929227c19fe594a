"""From what a law thinks of a text to how often such texts are right."""

from __future__ import annotations

import math

import pytest

from treegraft_daemon.engine.model.law import Calibration
from treegraft_daemon.engine.model.mixture import load_embedded


def test_without_a_fit_the_law_is_trusted() -> None:
    for p in (0.0, 1e-9, 0.2, 0.999, 1.0):
        assert Calibration().probability(math.log(p) if p else -math.inf, 7) == pytest.approx(p, abs=1e-9)


def test_it_is_a_probability_and_grows_with_the_law() -> None:
    calibration = Calibration(1.9, 0.8, -0.7)
    chances = [calibration.probability(log_p, 5) for log_p in (-800.0, -9.0, -1.0, -0.1, 0.0, 1e-12)]
    assert chances == sorted(chances)
    assert all(0 <= chance <= 1 for chance in chances)


def test_the_embedded_law_has_one_that_was_fitted() -> None:
    calibration = load_embedded().calibration
    assert calibration != Calibration()
    # The law knows of one way to write a short text; there are several that the author may have meant by it.
    assert calibration.probability(math.log(0.3), 2) > 0.3 > calibration.probability(math.log(0.3), 40)
