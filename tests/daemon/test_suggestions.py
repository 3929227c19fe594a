"""What may be shown without asking again. `$0` is the cursor."""

from __future__ import annotations

import random
from dataclasses import replace
from time import perf_counter

import pytest

from treegraft_daemon.config import Settings
from treegraft_daemon.serve.documents import Snapshot
from treegraft_daemon.serve.suggestions import Memory, Offer, Place, Rhythm, not_worth_showing, pause_s, place_of

SETTINGS = Settings()


def at(marked: str, n: int = 1, settings: Settings = SETTINGS, uri: str = "file:///a.py") -> Place:
    text = marked.replace("$0", "").encode()
    snapshot = Snapshot(uri, "/a.py", 1, "python", "python", text)
    return place_of(snapshot, len(marked.partition("$0")[0].encode()), n, settings)


def recalled(asked: str, answers: list[str], later: str) -> list[str] | None:
    """What is shown at `later` after the engine gave `answers` at `asked`."""
    memory = Memory()
    memory.remember(at(asked), [Offer(answer.encode()) for answer in answers])
    offers = memory.recall(at(later))
    return None if offers is None else [offer.text.decode() for offer in offers]


def test_asked_again_the_answer_is_the_same() -> None:
    assert recalled("x = $0\n", ["1", "2"], "x = $0\n") == ["1", "2"]


def test_typing_along_leaves_the_rest() -> None:
    assert recalled("ret$0\ny", ["urn x"], "return$0\ny") == [" x"]


def test_typing_along_holds_for_every_candidate_that_agrees() -> None:
    assert recalled("x = $0", ["foo(a)", "bar", "fool"], "x = fo$0") == ["o(a)", "ol"]


def test_typing_something_else_asks_anew() -> None:
    assert recalled("ret$0", ["urn x"], "rev$0") is None


def test_all_of_it_typed_leaves_nothing_and_asks_anew() -> None:
    assert recalled("ret$0", ["urn"], "return$0") is None


def test_a_bracket_that_the_editor_closed_is_not_doubled() -> None:
    assert recalled("f$0\n", ["(a, b)"], "f($0)\n") == ["a, b"]


def test_a_closed_bracket_in_the_middle_of_the_suggestion_asks_anew() -> None:
    assert recalled("f$0\n", ["(a, b):"], "f($0)\n") is None


def test_a_bracket_that_the_editor_closed_ends_what_was_typed_and_nothing_else() -> None:
    assert recalled("f$0\n", ["(a) as b:\n  c()"], "f($0)\n") is None
    assert recalled("f$0\n", ["(a, (b), c())"], "f($0)\n") == ["a, (b), c()"]
    assert recalled("x = $0\n", ['"a" + "b"'], 'x = "$0"\n') is None
    assert recalled("x = $0\n", ['"it\'s"'], 'x = "$0"\n') == ["it's"]


def test_taking_back_more_than_was_typed_asks_anew() -> None:
    assert recalled("ret$0", ["urn"], "re$0") is None


def test_a_changed_suffix_asks_anew() -> None:
    assert recalled("ret$0\ny", ["urn"], "retu$0\nz") is None


def test_a_change_far_above_asks_anew() -> None:
    assert recalled("import a\nret$0", ["urn"], "import b\nretu$0") is None


def test_accepting_a_word_leaves_the_rest() -> None:
    assert recalled("$0\n", ["for x in xs:"], "for $0\n") == ["x in xs:"]


def test_letters_of_many_bytes_are_typed_along_too() -> None:
    assert recalled("x='$0'", ["日本😋!"], "x='日$0'") == ["本😋!"]


def test_other_settings_other_languages_and_other_files_ask_anew() -> None:
    memory = Memory()
    memory.remember(at("a$0"), [Offer(b"b")])
    assert memory.recall(at("a$0", settings=Settings(temperature=0.5))) is None
    assert memory.recall(at("a$0", settings=Settings(model="/m"))) is None
    assert memory.recall(replace(at("a$0"), language="go")) is None
    assert memory.recall(at("a$0", uri="file:///b.py")) is None


def test_asked_by_hand_an_answer_with_fewer_candidates_does_not_count() -> None:
    memory = Memory()
    memory.remember(at("a$0", n=1), [Offer(b"bc")])
    assert memory.recall(at("a$0", n=3)) is None
    memory.remember(at("a$0", n=3), [Offer(b"bc"), Offer(b"bd")])
    assert memory.recall(at("a$0", n=3)) == [Offer(b"bc"), Offer(b"bd")]
    assert memory.recall(at("ab$0", n=3)) is None
    assert memory.recall(at("ab$0", n=1)) == [Offer(b"c"), Offer(b"d")]


def test_the_memory_is_bounded_and_forgets_closed_files() -> None:
    memory = Memory(max_entries=3, max_held_bytes=100)
    for n in range(9):
        memory.remember(at(f"{n}$0"), [Offer(b"x")])
    assert [n for n in range(9) if memory.recall(at(f"{n}$0"))] == [6, 7, 8]
    memory.remember(at("y" * 99 + "$0"), [Offer(b"x")])
    assert memory.recall(at("8$0")) is not None  # 99 + 1 bytes
    assert memory.recall(at("7$0")) is None
    memory.forget("file:///a.py")
    assert memory.recall(at("8$0")) is None


def test_what_is_recalled_leads_to_the_document_that_was_checked() -> None:
    rng = random.Random(7)
    n_hits = 0
    for _ in range(4000):
        prefix, suffix, answer = ("".join(rng.choices("a()\n", k=rng.randint(0, 4))) for _ in range(3))
        typed = answer[: rng.randint(0, len(answer))] if rng.random() < 0.8 else rng.choice("a()")
        closed = rng.choice(["", "", ")", "a"])
        memory = Memory()
        memory.remember(at(f"{prefix}$0{suffix}"), [Offer(answer.encode())])
        for offer in memory.recall(at(f"{prefix}{typed}$0{closed}{suffix}")) or []:
            n_hits += 1
            assert prefix + typed + offer.text.decode() + closed + suffix == prefix + answer + suffix
    assert n_hits > 1000


def typed(*gaps_s: float) -> Rhythm:
    """The rhythm after a key, and one more after each of the gaps."""
    rhythm, now = Rhythm(), 5.0
    rhythm.key(now)
    for gap_s in gaps_s:
        now += gap_s
        rhythm.key(now)
    return rhythm


def test_waiting_for_another_key() -> None:
    assert pause_s(40, invoked=True, rhythm=typed(0.05), before=b"x") == 0
    assert pause_s(40, invoked=False, rhythm=typed(), before=b"x") == 0
    assert pause_s(40, invoked=False, rhythm=typed(0.05, 0.2), before=b"x") == 0
    assert pause_s(40, invoked=False, rhythm=typed(0.05), before=b";") == 0.04
    assert pause_s(0, invoked=False, rhythm=typed(0.01), before=b";") == 0


def test_one_waits_longer_within_a_word_and_shorter_where_people_look_up() -> None:
    waits = {
        last: pause_s(40, invoked=False, rhythm=typed(0.05), before=last) for last in (b"a", "é".encode(), b"(", b"\n")
    }
    assert waits[b"a"] == waits["é".encode()] == 0.06
    assert waits[b"("] == waits[b"\n"] == 0.02


def test_for_a_slow_typist_one_does_not_wait() -> None:
    assert pause_s(40, invoked=False, rhythm=typed(*[0.15] * 9), before=b"x") == 0
    assert pause_s(40, invoked=False, rhythm=typed(*[0.11] * 9, 5.0, 0.11), before=b"x") > 0


@pytest.mark.parametrize(
    ("where", "text", "why"),
    [
        ("f(a$0", ")", "only closing marks"),
        ("{[(a$0", ")]};", "only closing marks"),
        ("f(a$0", ", b)", ""),
        ("import os\n$0", "import os", "the line above once more"),
        ("import os\n\nimp$0", "ort os", "the line above once more"),
        ("import os\n$0", "import sys", ""),
        ("    }\n$0", "    } else {", ""),
        ("x = [$0", "1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]", "the same again and again"),
        ("x = [$0", "0, 0, 0]", ""),
        ("# $0", "a line of a comment", ""),
    ],
)
def test_what_is_not_worth_showing(where: str, text: str, why: str) -> None:
    assert not_worth_showing(Offer(text.encode()), at(where)) == why


def test_a_few_keys_typed_on_may_be_answered_by_the_elder_question() -> None:
    assert at("x = $0\n").leads_to(at("x = fo$0\n"))
    assert at("x = $0\n").leads_to(at("x = $0\n"))
    assert at("x = $0\n").leads_to(at("x = ($0)\n"))
    assert not at("x = $0\n").leads_to(at("y = f$0\n"))
    assert not at("x = f$0\n").leads_to(at("x = $0\n"))
    assert not at("x = $0\n").leads_to(at("x = " + 13 * "f" + "$0\n"))


def test_the_place_after_a_suggestion() -> None:
    assert at("x = $0\n").after(Offer(b"f()")) == at("x = f()$0\n")


def test_recalling_in_a_large_file_is_quick() -> None:
    body = "x = 1\n" * 60_000
    memory = Memory()
    for n in range(40):
        memory.remember(at(f"{body}{n}$0\n{body}"), [Offer(b"abcdef")])
    began = perf_counter()
    assert memory.recall(at(f"{body}7abc$0\n{body}")) is None  # held bytes: only the newest entries are left
    assert memory.recall(at(f"{body}39abc$0\n{body}")) == [Offer(b"def")]
    assert perf_counter() - began < 0.1
