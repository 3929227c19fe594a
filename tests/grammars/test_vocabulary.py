"""Token healing's lookup, against the definition written out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treegraft_grammars.vocabulary import Vocabulary

few_bytes = st.lists(st.sampled_from([0x00, 0x61, 0x62, 0xFE, 0xFF]), max_size=4).map(bytes)


@given(tokens=st.lists(few_bytes, max_size=30), owed=few_bytes, data=st.data())
def test_agreeing_is_what_it_says(tokens: list[bytes], owed: bytes, data: st.DataObject) -> None:
    special = data.draw(st.sets(st.integers(0, max(len(tokens) - 1, 0)), max_size=3))
    vocabulary = Vocabulary(tokens, special)
    expected = [
        idx for idx, token in enumerate(tokens)
        if token and idx not in special and (token.startswith(owed) or owed.startswith(token))
    ]  # fmt: skip
    found = vocabulary.agreeing(owed)
    assert sorted(found.tolist()) == expected
    assert found.dtype == "int32"


def test_special_tokens_have_no_bytes_and_agree_with_nothing() -> None:
    vocabulary = Vocabulary([b"<s>", b"a", b"ab", b""], special=[0])
    assert vocabulary[0] == b"" and vocabulary[2] == b"ab" and len(vocabulary) == 4
    assert sorted(vocabulary.agreeing(b"").tolist()) == [1, 2]
    assert vocabulary.agreeing(b"<").tolist() == []


def test_a_shorter_token_agrees_when_it_starts_what_is_owed() -> None:
    vocabulary = Vocabulary([b"re", b"return", b"r", b"ret", b"x", b"ret"])
    assert sorted(vocabulary.agreeing(b"ret").tolist()) == [0, 1, 2, 3, 5]


def test_the_last_byte_string_of_all_has_no_upper_bound() -> None:
    vocabulary = Vocabulary([b"\xff", b"\xff\xff", b"\xff\xffa", b"a"])
    assert sorted(vocabulary.agreeing(b"\xff\xff").tolist()) == [0, 1, 2]


def test_an_empty_vocabulary_agrees_with_nothing() -> None:
    assert Vocabulary([]).agreeing(b"a").tolist() == []
