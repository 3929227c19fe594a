"""The simulator against tree-sitter, and its states against each other, over real files of every language."""

from __future__ import annotations

import contextlib
import random
import threading
from functools import cache

import pytest

from reading import Reference, mutate, texts
from treegraft_grammars import EndlessParse, constraint, distrust, languages
from treegraft_grammars.constraint import Grammar, ParseState, grammar_for, new_grammar
from treegraft_grammars.registry import UnsupportedGrammar, load, row_of

LANGUAGES = languages()
# A language that is served without constraint need not be viable everywhere.
TRUSTED = [language for language in LANGUAGES if not distrust(language)]


def fewer(language: str, n: int) -> int:
    """A language of an extra is looked at less in the quick run; the slow one is the same for all."""
    return max(2, n // 3) if row_of(language).extra else n


def bare(language: str) -> Grammar:
    """tree-sitter's grammar as it is, without our overlay."""
    return grammar_for(language, overlay=False)


@cache
def exact(language: str) -> Grammar:
    """The same without a horizon either, which takes what tree-sitter refuses."""
    return Grammar(language, load(language), None, row_of(language).probes)


def clean(language: str, n: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """Real texts that parse, with the overlay too."""
    found = [
        item for item in texts(language, 3 * n, seed=seed) if grammar_for(language).check(item[1]).first_error is None
    ]
    return found[:n]


def after(grammar: Grammar, text: bytes) -> ParseState:
    parsed = grammar.parse(text)
    assert parsed.first_error is None
    return parsed.state


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_and_mutants_read_as_tree_sitter_reads_them(language: str) -> None:
    fidelity(language, n_files=fewer(language, 6), n_mutants=fewer(language, 4))


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_many_files_and_mutants_read_as_tree_sitter_reads_them(language: str) -> None:
    fidelity(language, n_files=100, n_mutants=20)


def fidelity(language: str, n_files: int, n_mutants: int) -> None:
    grammar, reference, rng = exact(language), Reference(language), random.Random(1)
    for name, text in texts(language, n_files):
        for variant in (text, *(mutate(text, rng) for _ in range(n_mutants))):
            with contextlib.suppress(EndlessParse):
                assert grammar.check(variant).first_error == reference.first_error(variant), name


@pytest.mark.parametrize("language", TRUSTED)
def test_every_prefix_of_a_valid_file_is_viable(language: str) -> None:
    prefixes(language, n_files=fewer(language, 6), n_cuts=25)


@pytest.mark.slow
@pytest.mark.parametrize("language", TRUSTED)
def test_every_prefix_of_many_valid_files_is_viable(language: str) -> None:
    prefixes(language, n_files=60, n_cuts=100)


def prefixes(language: str, n_files: int, n_cuts: int) -> None:
    rng = random.Random(2)
    for grammar in (bare(language), grammar_for(language)):
        for name, text in clean(language, n_files):
            for _ in range(n_cuts):
                cut = rng.randrange(len(text) + 1)
                assert grammar.parse(text[:cut]).first_error is None, (name, cut, text[max(0, cut - 60) : cut])


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("php", b"<?php\nclass A {\n    /** Use E"),
        ("php", b"<?php\nFUNCTION f() {}\nABSTR"),
        ("fortran", b"subroutine next(IU)\n   IMPLICIT NO"),
        ("sql", b"SELECT a FROM b WHE"),
        ("xml", b"<a>\n  <" + b"name" * 10 + b">x</" + b"name" * 6),
        ("kotlin", b"/**\n * at https://example.org/" + b"path/" * 50),
        ("go", b"package a\n\nvar a = []rune{'\\x7"),
        ("rust", b"const A: f64 = 0f6"),
        ("rust", b"fn f() { match c { '\\u"),
        ("bash", b"cat <<END\nUsage: `"),
        ("bash", b"case a in\n*) # b\n;;\nesac\n" + b"a=1\n" * 400 + b"cat <<END\nUsage: `"),
        ("css", b"a {\n  color: red !imp"),
        ("scss", b"@media print {\n\thtml:not(.pr"),
        ("swift", b"func f(_ a: () throws -> B) re"),
        ("haskell", b"module A where\nclass (Applicative f, Tr"),
        ("haskell", b"instance A (B i) where\n  type C (In"),
        ("haskell", b"module A where\n\n#ifd"),
    ],
)
def test_ends_that_are_hard_to_reach(language: str, text: bytes) -> None:
    for end in range(max(0, len(text) - 40), len(text) + 1):
        assert grammar_for(language).parse(text[:end]).first_error is None, text[:end]


@pytest.mark.parametrize("language", TRUSTED)
def test_steps_lead_where_parsing_leads(language: str) -> None:
    rng = random.Random(3)
    grammar = grammar_for(language)
    for name, text in clean(language, fewer(language, 4), seed=1):
        begin = rng.randrange(len(text))
        end = min(len(text), begin + 600)
        ends = []
        for longest in (1, 10, 200):
            state, at = after(grammar, text[:begin]), begin
            while at < end:
                n = min(rng.randint(1, longest), end - at)
                following = state.step(text[at : at + n])
                assert following is not None, (name, at, text[max(0, at - 60) : at + n])
                state, at = following, at + n
            ends.append(state)
        whole = after(grammar, text[:end])
        for state in ends:
            assert state.offset == whole.offset == end
            assert state.meets(text[end:]) and whole.meets(text[end:])
            # Bash may keep readings that were merged in another order; they read on alike.
            assert language == "bash" or (state == whole and hash(state) == hash(whole)), name


@pytest.mark.parametrize("language", TRUSTED)
def test_meets_and_reach_agree_with_reading_the_whole_text(language: str) -> None:
    rng = random.Random(4)
    grammar = grammar_for(language)
    for name, text in clean(language, fewer(language, 5), seed=2):
        for _ in range(12):
            cut = rng.randrange(len(text) + 1)
            end = min(len(text), cut + rng.choice((0, 0, 3, 30)))
            middle = rng.choice((b"", b")", b"x x", b'"', b"{", b"\n", b" ", b"0", b"(a)"))
            prefix, suffix = text[:cut], text[end:]
            state = after(grammar, prefix).step(middle)
            if state is None:
                assert not after(grammar, prefix).meets(middle + suffix), (name, cut, middle)
                continue
            error = grammar.check(prefix + middle + suffix).first_error
            assert state.meets(suffix) == (error is None), (name, cut, end, middle)
            expected = len(suffix) + 1 if error is None else max(0, error - len(prefix + middle))
            assert state.reach(suffix) == expected, (name, cut, end, middle)


def test_a_token_does_not_depend_on_how_much_text_there_is() -> None:
    grammar = grammar_for("bash")
    # Bash's scanner reads the first closing backtick as an opening one if another far below has a space behind it.
    text = b"if true\nthen\n shift `expr $a - 1`\n" + b"  echo a\n" * 300 + b"fi\ny=` b`\n"
    assert grammar.start().meets(text) and grammar.check(text).first_error is None
    for cut in range(0, len(text), 97):
        assert after(grammar, text[:cut]).meets(text[cut:]), cut


def test_memory_of_one_suffix_does_not_answer_for_another() -> None:
    state = after(grammar_for("python"), b"f(a")
    assert state.meets(b")\n")
    assert not state.meets(b"]\n")
    assert state.reach(b", b]\n") == len(b", b")
    assert state.meets(b")\n")


def test_states_are_values() -> None:
    grammar = grammar_for("python")
    left, right = after(grammar, b"x = f(1)\ny"), after(grammar, b"x = f(1)\ny")
    assert left == right and hash(left) == hash(right) and len({left, right}) == 1
    assert left != after(grammar, b"x = f(1)\nyy")
    assert left != after(grammar, b"x = [f(1),\ny")
    assert left != object()
    first, second = left.step(b" = 1"), left.step(b" = 1")
    assert first == second and first != left


def test_branches_do_not_disturb_each_other() -> None:
    root = after(grammar_for("javascript"), b"const a = `x${")
    left, right = root.step(b"b + {c: 1}"), root.step(b"f(1)} and more ${")
    assert left is not None and right is not None
    for _ in range(3):
        assert left.meets(b"}`;\n") and not left.meets(b")}`;\n")
        assert right.meets(b"d}`;\n") and not right.meets(b"}`;\n")


def test_a_token_may_split_a_character() -> None:
    for text in ("x = 'é'\n", "é = 1\n", "x = '漢字'\n", "漢字 = 1\n", "x = '😋'\n", "# 😋\n"):
        data = text.encode()
        state = grammar_for("python").start()
        for at in range(len(data)):
            following = state.step(data[at : at + 1])
            assert following is not None, (text, at)
            state = following
        assert state.complete()
    assert grammar_for("python").start().step("x = 😋".encode()[:-1]) is None
    assert grammar_for("json").start().step("[é".encode()[:-1]) is None


def test_complete_and_expected() -> None:
    grammar = grammar_for("json")
    assert after(grammar, b'{"a": [1, 2]}').complete()
    half = after(grammar, b'{"a": [1, 2')
    assert not half.complete()
    assert "]" in half.expected() and "," in half.expected() and "}" not in half.expected()
    assert half.end_error() == (11, 11)


def test_depth_counts_open_brackets() -> None:
    grammar = grammar_for("python")
    for text, depth in ((b"x", 0), (b"f(", 1), (b"f(a, [b", 2), (b"f(a, [b]", 1), (b"f({1: [", 3), (b"f(')'", 1)):
        assert after(grammar, text).depth() == depth, text
    # Comments are phrases in this grammar, and may follow everywhere.
    for text, depth in ((b"fn f() ", 0), (b"fn f() { g(", 2), (b"fn f() { g()", 1), (b"fn f() { g(1, (a))", 1)):
        assert after(grammar_for("rust"), text).depth() == depth, text


def test_reads_is_a_horizon_check() -> None:
    state = after(grammar_for("python"), b"x = f(")
    assert state.reads(b"a, b)\ny = [1,")
    assert not state.reads(b"a, b)\ny = ]")
    assert state.reads(b"")


@pytest.mark.parametrize("language", LANGUAGES)
def test_garbage_is_survived(language: str) -> None:
    rng = random.Random(5)
    grammar = grammar_for(language)
    pieces = [*rb"""( ) " ' \ a 0 <<EOF /* ` ${""".split(), b"\n", b"\t", b"\x00", b"\xff", b"\xe2\x80"]
    for _ in range(60):
        text = bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
        text += b"".join(rng.choice(pieces) for _ in range(rng.randrange(60)))
        parsed = grammar.parse(text)
        assert 0.0 <= parsed.confidence <= 1.0
        assert (parsed.first_error is None) == (parsed.confidence == 1.0)
        assert parsed.first_error is None or parsed.first_error <= len(text)
        parsed.state.step(text[:7])
        parsed.state.meets(text)
        parsed.state.expected()


def test_recovery_goes_on_behind_an_error() -> None:
    grammar = grammar_for("python")
    broken = b"def f(a, b:\n    return a\n\n\ndef g(a):\n    x = [1, 2\n    y = 3\n    return foo("
    parsed = grammar.parse(broken)
    assert parsed.first_error is not None and 0 < parsed.confidence < 1
    assert parsed.state.step(b"x, y)\n") is not None


# What is broken, and what its author wrote next.
HALF_TYPED = {
    # A quote is lost: strings begin where they should end, and the error shows lines below.
    "lost-quote": ("ruby", 'a do |s|\n  s.name = "React&\n  s.version = version\n  s.summary = "A wrapper for NSUs', 'erDefaults"\n'),
    "lost-opener": ("objective-c", "void f() {\n  for (Listener> l in [a all]) {\n    [", "l g];\n  }\n}\n"),
    "lost-head": ("javascript", "a(function (x\n  b();\n  c(", "1);\n});\n"),
    "lost-name": ("json", '{\n  "a": 1,\n  b": {\n    "c": "', 'd"\n  },\n  "e": 1\n}\n'),
    "extra-word": ("python", "def f(a):\n    x = a b\n    if x:\n        return ", "x\n    return [a]\n"),
}  # fmt: skip


@pytest.mark.parametrize(("language", "broken", "following"), HALF_TYPED.values(), ids=HALF_TYPED)
def test_what_comes_next_is_viable_behind_broken_lines(language: str, broken: str, following: str) -> None:
    parsed = grammar_for(language).parse(broken.encode())
    assert parsed.first_error is not None and parsed.confidence > 0
    assert parsed.state.step(following.encode()) is not None


@pytest.mark.parametrize("language", ["go", "java", "lua", "rust"])
def test_no_repair_begins_a_string_or_a_comment_in_which_anything_goes(language: str) -> None:
    """Behind a repaired line no more is viable than behind a whole one: no reading is in a string that was thought in."""
    grammar, rng = grammar_for(language), random.Random(f"free {language}")
    line = {"lua": "  f(a, )\n  g(", "rust": "  f(a, ;\n  g(", "go": "  f(a, ;\n  g("}.get(language, "  f(a, );\n  g(")
    head = {"go": "package a\nfunc f() {\n", "java": "class A { void f() {\n", "lua": "do\n", "rust": "fn f() {\n"}[
        language
    ]
    parsed = grammar.parse((head + line).encode())
    assert parsed.first_error is not None and parsed.confidence > 0
    assert parsed.state.step(b"a, b") is not None
    for _ in range(20):
        junk = " ".join(rng.choices([")", "(", "]", "@", "a", "=", "}", "1"], k=12)) + " ] )"
        assert parsed.state.step(junk.encode()) is None, junk


def test_a_long_good_beginning_is_repaired_with_what_stands_before_the_error() -> None:
    # The kept state from which reading was taken up lies somewhere between the lost quote and where it shows.
    grammar = grammar_for("ruby")
    for n in range(0, 1100, 50):
        good = b"x = 1\n" * 300 + b"# " + b"-" * n + b"\n"
        broken = good + b's.name = "React&\ns.version = v\ns.summary = "A wrapper for NSUs'
        assert grammar.parse(broken).state.step(b'erDefaults"\ns.name = 1\n') is not None, n


def test_a_grammar_of_another_abi_is_refused() -> None:
    class Fake:
        pass

    with pytest.raises(TypeError):
        Grammar("fake", Fake())
    import ctypes

    header = (ctypes.c_uint32 * 64)(12)
    with pytest.raises(UnsupportedGrammar, match="ABI 12"):
        Grammar("old", ctypes.addressof(header))


def test_threads_share_a_grammar() -> None:
    grammar = grammar_for("python")
    text = b"def f(a, b):\n    return [a, b, 'x']\n" * 300
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(15):
            cut = rng.randrange(len(text))
            state = grammar.parse(text[:cut]).state
            if not state.meets(text[cut:]) or state.step(text[cut : cut + 4]) is None:
                failures.append(f"{seed} {cut}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_memory_is_given_back_with_the_last_state() -> None:
    import resource

    grammar = grammar_for("python")
    text = b"def f(a, b):\n    return [a, b, 'x']\n" * 2000
    for _ in range(3):
        grammar.parse(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(30):
        grammar.parse(text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_keystroke_rereads_only_what_is_new() -> None:
    grammar = Grammar("python", load("python"))
    text = b"".join(b"def f%d(a, b):\n    return [a, b, 'x']\n\n" % i for i in range(500))
    grammar.parse(text)
    before = grammar.stats()["steps"]
    parsed = grammar.parse(text + b"x = f1(")
    assert parsed.first_error is None and parsed.state.step(b"1)") is not None
    assert grammar.stats()["steps"] - before < before / 5


def test_resumed_parses_equal_fresh_ones() -> None:
    rng = random.Random(9)
    resumed = Grammar("python", load("python"))
    for _, text in clean("python", 3, seed=3):
        for _ in range(12):
            cut = rng.randrange(len(text) + 1)
            at = rng.randrange(cut + 1)
            for version in (text[:cut], text[:at] + b"1 +" + text[at:cut], text[:at] + b")" + text[at:cut]):
                fresh = Grammar("python", load("python")) if rng.random() < 0.05 else None
                left = resumed.parse(version)
                assert left.state.offset == len(version) or left.confidence == 0.0
                right = fresh.parse(version) if fresh else None
                if right is not None:
                    assert left.first_error == right.first_error and left.state.stacks() == right.state.stacks()


def macros(n: int) -> bytes:
    """C++ as test suites are written: not one of these blocks is a statement to the grammar."""
    return b"".join(b'TEST_CASE("case %d") {\n    SECTION("part") {\n        CHECK(f(%d) == g(a, %d));\n    }\n' % (i, i, i)
                    + b"    int b = f(a + 1);\n    return b;\n" * 12 + b"}\n\n" for i in range(n))  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", b"x = = 1)\n" + b"".join(b"def f%d(a, b):\n    return [a, b, 'x']\n\n" % i for i in range(500))),
        ("cpp", macros(20)),
    ],
)
def test_a_keystroke_behind_errors_rereads_only_what_is_new(language: str, text: bytes) -> None:
    grammar = Grammar(language, load(language))
    assert grammar.parse(text).first_error is not None
    before = grammar.stats()["steps"]
    for n_typed in range(1, 9):
        parsed = grammar.parse(text + b"x = f1("[:n_typed])
        assert parsed.first_error is not None and parsed.confidence > 0
    assert grammar.stats()["steps"] - before < before / 5


@pytest.mark.parametrize(
    ("language", "text"), [("cpp", macros(6)), ("cpp", macros(6).replace(b"    SECTION", b")  SECTION"))]
)
def test_resumed_parses_behind_errors_equal_fresh_ones(language: str, text: bytes) -> None:
    """Typed from front to end, and with an edit among the errors now and then."""
    resumed, rng = Grammar(language, load(language)), random.Random(5)
    for end in range(100, len(text), 37):
        at = rng.randrange(end)
        for version in (text[:end], text[:at] + rng.choice([b"(", b"} ", b"int ", b'"']) + text[at:end]):
            left, right = resumed.parse(version), Grammar(language, load(language)).parse(version)
            assert left.first_error == right.first_error and left.error_token == right.error_token, (end, at)
            assert left.confidence == right.confidence and sorted(left.state.stacks()) == sorted(
                right.state.stacks()
            ), (end, at)


def test_many_edits_do_not_fill_the_memory() -> None:
    grammar = Grammar("python", load("python"))
    text = b"".join(b"def f%d(a, b):\n    return [a, b, 'x']\n\n" % i for i in range(200))
    sizes = []
    for i in range(3000):
        sizes.append(grammar.parse(text[: 3000 + i] + b"x%d = [(%d, " % (i, i)).state.arena_bytes())
    assert max(sizes) < 10 << 20


@pytest.mark.parametrize("language", TRUSTED)
def test_verdicts_do_not_depend_on_what_was_asked_before(language: str) -> None:
    """What searches teach the simulator saves work; it must not change an answer."""
    rng = random.Random(9)
    questions = []
    for _, text in clean(language, 2, seed=4):
        for _ in range(60):
            cut, at = rng.randrange(min(len(text), 2000)), rng.randrange(len(text))
            questions.append((text[:cut], text[at : at + rng.choice((1, 2, 4))]))
    verdicts = []
    for order in (questions, questions[::-1]):
        grammar = new_grammar(language)
        answers = {(prefix, token): after(grammar, prefix).step(token) is not None for prefix, token in order}
        verdicts.append(answers)
    assert [it for it in questions if verdicts[0][it] != verdicts[1][it]] == []


def test_a_word_behind_a_number_is_searched_for_alike_behind_every_number() -> None:
    grammar = new_grammar("python")
    assert after(grammar, b"x = 3j").step(b"o") and after(grammar, b"x = 3").step(b"o")


def test_a_reading_that_only_the_error_state_goes_on_with_is_dead() -> None:
    """Kotlin's scanner takes all that follows a quote for a string where any token may come."""
    state = grammar_for("kotlin").start().step(b'@Suppress("A")\nprivate fun f(a: Int) {\n  if (a != 0) {\n    g(a)\n')
    assert state is not None
    assert len(state.pending) < 20


def test_tokens_that_a_scanner_hides_are_waited_for() -> None:
    """Swift's finds `#if` only where any token may come."""
    state = grammar_for("swift").start().step(b"extension A {\n  ")
    assert state is not None
    for text in (b"#", b"#i", b"#if os(iOS)\n"):
        assert state.step(text) is not None, text


def test_texts_of_all_languages_together_are_few_and_each_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    trails = constraint._Trails()
    monkeypatch.setattr(constraint, "_TRAILS", trails)
    line = {"python": b"x = [1, 2]\n", "javascript": b"x = [1, 2]\n", "json": b"[1, [2, 3], 4,\n"}
    grammars = {language: new_grammar(language) for language in line}
    for n in range(3 * constraint._MAX_TEXTS):
        language = list(line)[n % 3]
        text = line[language] * (100 + n)
        assert grammars[language].parse(text).first_error is None
        assert len(trails._kept) <= constraint._MAX_TEXTS
        found = trails.resume(grammars[language]._simulator, text + b" ")
        assert found and len(text) - found[-1].state.offset < 2 * constraint._STRIDE
        # The same bytes in another language are another text.
        assert not trails.resume(new_grammar("javascript")._simulator, text)
