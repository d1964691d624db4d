"""Tokens are a text's and back, are fitted to the training text alone, and count what the benchmarks count."""
# SPDX-License-Identifier: Apache-2.0

import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.core.mean import Mean
from jaxgen.data import text_pieces
from jaxgen.data.text_pieces import encoded, pieces
from jaxgen.data.tokenizers import BytePairs, Bytes, Characters, Words, whole_lines, with_bytes
from jaxgen.errors import UserError
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.types import Spec, Tokens, Unit

TEXT = "the cat sat on the mat \n the cat <unk> the dog \n\n Ünïcödé – the end \n"
CHOICES = (Characters(), Bytes(), Words(), BytePairs(size=270))
FITTED = {type(choice): choice.fit([TEXT], []) for choice in CHOICES}
WORD = st.text(st.characters(exclude_categories=("Cs", "Z", "C")), min_size=1).filter(lambda w: w.split() == [w])


@settings(max_examples=60)
@given(st.text())
def test_any_text_is_bytes_and_byte_pairs_and_back(text):
    for kind in (Bytes, BytePairs):
        vocabulary = FITTED[kind]
        tokens = vocabulary.encode(text)
        assert vocabulary.decode(tokens) == text and tokens.dtype == np.int32
        assert sum(vocabulary.token_bytes[token] for token in tokens) == len(text.encode())


@settings(max_examples=60)
@given(st.lists(st.lists(WORD, min_size=0, max_size=5), min_size=1, max_size=5))
def test_known_words_are_tokens_and_back(lines):
    text = "".join(" ".join(line) + "\n" for line in lines)
    vocabulary = Words().fit([text], [])
    tokens = vocabulary.encode(text)
    assert len(tokens) == sum(len(line) + 1 for line in lines)  # a word each, and each line's end
    known = all(word not in ("<unk>", "<eos>") for line in lines for word in line)
    assert not known or vocabulary.decode(tokens) == text
    assert vocabulary.decode(vocabulary.encode(text[:-1])) == text[:-1] or not known


SPACES = (" ", "  ", "\n", "\n\n", "\t", "\u00a0")
PARTS = st.lists(st.sampled_from([*"ab1_'.,é☃。東", *SPACES, "don't", " the"]), max_size=40)


@settings(max_examples=150)
@given(PARTS.map("".join), st.integers(1, 12))
def test_a_text_in_pieces_has_the_tokens_of_the_whole(text, size):
    choices = (Characters().fit([text + "a"], []), *(FITTED[kind] for kind in (Bytes, Words, BytePairs)))
    for vocabulary in choices:
        found = list(pieces(text, vocabulary.cut, size))
        assert "".join(found) == text
        tokens = encoded(vocabulary, text, size)
        np.testing.assert_array_equal(tokens, vocabulary.encode(text))
        assert tokens.dtype.itemsize <= 2 and tokens.dtype.kind == "u"
        spaced = all(len(piece) <= size + len(max(text.split(" "), key=len)) for piece in found)
        assert spaced or vocabulary.unit not in (Unit.CHARACTER, Unit.BYTE)


def test_words_and_byte_pairs_are_fitted_in_pieces_as_to_the_whole(monkeypatch):
    text = " ".join(f"{n} don't  {n * n}\n" for n in range(300))
    whole = [choice.fit([text], []).document() for choice in (Words(), BytePairs(size=400))]
    monkeypatch.setattr(text_pieces.pieces, "__defaults__", (50,))
    assert [choice.fit([text], []).document() for choice in (Words(), BytePairs(size=400))] == whole


@given(st.lists(st.integers(0, 255)))
def test_whatever_is_drawn_is_some_text(tokens):
    assert isinstance(FITTED[Bytes].decode(tokens), str) and isinstance(FITTED[BytePairs].decode(tokens), str)


def test_words_are_those_of_the_benchmarks():
    """As PyTorch's word language model reads WikiText and Penn Treebank: each line's words, then `<eos>`."""
    ids: dict[str, int] = {}
    for line in TEXT.splitlines():
        for word in [*line.split(), "<eos>"]:
            ids.setdefault(word, len(ids))
    expected = [word for line in TEXT.splitlines() for word in [*line.split(), "<eos>"]]
    vocabulary = FITTED[Words]
    assert vocabulary.size == len(ids) and set(vocabulary.words) == set(ids)
    assert [vocabulary.words[token] for token in vocabulary.encode(TEXT)] == expected
    assert vocabulary.words[:2] == ("the", "<eos>")  # five times, four times
    words = [vocabulary.words[token] for token in vocabulary.encode("the bird\nsat")]
    assert words == ["the", "<unk>", "<eos>", "sat"]  # a prompt may end inside a line
    assert whole_lines("a\nb", Words()) == "a\nb\n" and whole_lines("a\n", Words()) == "a\n"
    assert whole_lines("a\nb", Bytes()) == "a\nb"


def test_rare_words_are_unknown_and_unk_is_there_even_if_no_text_has_it():
    vocabulary = Words(smallest_count=2).fit(["a a b\nb c\n"], ["c c c"])
    assert vocabulary.words == ("<eos>", "a", "b", "<unk>")
    assert vocabulary.decode(vocabulary.encode("a c b")) == "a <unk> b"


def test_only_characters_look_at_other_splits():
    for choice in (Words(), BytePairs(size=270), Bytes()):
        assert choice.fit([TEXT], ["something else"]) == choice.fit([TEXT], [])
    assert Characters().fit(["ba"], ["cb"]).characters == "abc"


def test_byte_pairs_are_the_same_whenever_they_are_trained():
    text = " ".join(f"{n} and {n * n}" for n in range(300))
    first, second = (BytePairs(size=400).fit([text], []) for _ in range(2))
    assert first == second and first.size == 400
    assert len(first.encode(text)) < len(text) / 2
    assert BytePairs(size=10_000).fit(["abab"], []).size < 300  # no more pairs than the text has


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: type(choice).__name__)
def test_a_kept_vocabulary_is_the_same(choice):
    vocabulary = FITTED[type(choice)]
    again = choice.read(json.loads(json.dumps(vocabulary.document())))
    assert np.array_equal(again.encode(TEXT), vocabulary.encode(TEXT))
    assert again.size == vocabulary.size and again.document() == vocabulary.document()


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: type(choice).__name__)
@pytest.mark.parametrize(
    "document",
    [{}, {"characters": "ba"}, {"characters": ""}, {"bytes": 255}, {"words": [1]}, {"words": ["a"]}, {"byte_pairs": {}},
     {"byte_pairs": {"model": {"type": "BPE", "vocab": {}, "merges": []}}}],
)  # fmt: skip
def test_what_is_no_vocabulary_is_refused(choice, document):
    with pytest.raises(UserError):
        choice.read(document)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Words(smallest_count=0), "tokens.smallest_count is 0"),
        (lambda: BytePairs(size=255), "tokens.size is 255; give at least 256"),
        (lambda: FITTED[Characters].encode("a ☃ b"), "'☃' does not occur"),
        (lambda: FITTED[Bytes].encode("\ud83d"), "no character"),
        (lambda: FITTED[BytePairs].encode("\ud83d"), "no character"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


def test_byte_pairs_without_their_library_are_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"run `pip install 'jaxgen\[bpe\]'`"):
        BytePairs().fit([TEXT], [])


def test_the_likelihood_is_told_in_the_units_of_the_tokens():
    task = LanguageModel(RecurrentNetwork(width=4, embedding=4))
    nats, told = Mean(jnp.float32(40 * math.log(8)), jnp.float32(40)), Mean(jnp.float32(60), jnp.float32(40))
    sums = {"nats": nats, "bytes": told}
    figures = {unit: task.sized(Spec(Tokens(4, 3, unit))).finish(sums) for unit in Unit}
    assert figures[Unit.CHARACTER].keys() == {"nats_per_token", "bits_per_character", "perplexity"}
    assert figures[Unit.BYTE]["bits_per_byte"] == pytest.approx(3)
    assert figures[Unit.WORD]["perplexity_per_word"] == pytest.approx(8)
    assert figures[Unit.SUBWORD]["bits_per_byte"] == pytest.approx(2)  # 120 bits for 60 bytes


def test_bits_per_byte_are_all_nats_over_all_bytes():
    """An untrained network holds all tokens equally likely, so that its bits are known."""
    vocabulary = FITTED[BytePairs]
    tokens = vocabulary.encode("the cat sat on the mat the cat sat")
    spec = Spec(Tokens(len(tokens) - 1, vocabulary.size, vocabulary.unit))
    task = LanguageModel(RecurrentNetwork(width=4, embedding=4)).sized(spec)
    batches = {"given": {}, "made": {"value": tokens[None, None]}}
    batch = jax.tree.map(lambda array: array[0], with_bytes(batches, vocabulary)) | {"row": np.arange(1)}
    sums = jax.jit(lambda key: task.evaluate(task.init(key), batch, key)[0])(jax.random.key(0))
    told = len(vocabulary.decode(tokens[1:]).encode())
    assert sums["bytes"].total == pytest.approx(told)
    expected = (len(tokens) - 1) * math.log2(vocabulary.size) / told
    assert task.finish(sums)["bits_per_byte"] == pytest.approx(expected, rel=1e-5)
