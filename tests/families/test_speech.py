"""Recognition: a text's likelihood is the sum over its paths, padding changes nothing, and read as it comes = whole."""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from training import lively as livened

from jaxgen.core.part import Part
from jaxgen.core.task import Likelihood, Policy, Task
from jaxgen.errors import UserError
from jaxgen.families.ctc_sampler import PrefixBeamSearch
from jaxgen.families.ctc_task import CTC
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from jaxgen.families.rnn.recogniser import RecurrentRecogniser
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.token_samplers import TokenSampler
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.recogniser import TransformerRecogniser
from jaxgen.nn.stems import PictureStem, SpeechStem
from jaxgen.types import Framing, Image, Spec, Tokens, Wave

RATE, SAMPLES, T, V = 2000, 2000, 4, 4  # three letters, and the end, which is the blank
BLANK = V - 1
SPEC = Spec(Tokens(T, V, framing=Framing.TARGET), (("wave", Wave(SAMPLES, RATE)),))
STEM = SpeechStem(mels=8, channels=12)
RECOGNISERS = {
    "lstm": RecurrentRecogniser(width=10, stem=STEM),
    "lstm-forward": RecurrentRecogniser(width=10, bidirectional=False, chunk=3, stem=STEM),
    "gru-forward": RecurrentRecogniser(cell=Cell.GRU, width=10, layers=1, bidirectional=False, chunk=5, stem=STEM),
    "lstm-ahead": RecurrentRecogniser(width=10, bidirectional=False, chunk=3, look_ahead=True, stem=STEM),
    "min-gru": RecurrentRecogniser(cell=Cell.MIN_GRU, width=10, layers=1, stem=STEM),
    "rg-lru-forward": RecurrentRecogniser(cell=Cell.RG_LRU, width=10, bidirectional=False, stem=STEM),
    "transformer": TransformerRecogniser(width=16, blocks=2, heads=2, hidden=12, stem=STEM),
    "transformer-chunks": TransformerRecogniser(
        width=16, blocks=2, heads=2, hidden=12, chunk=3, look_back=2, stem=STEM
    ),
    "conformer": TransformerRecogniser(width=16, blocks=2, heads=2, hidden=12, kernel=3, stem=STEM),
    "conformer-chunks": TransformerRecogniser(
        width=16, blocks=2, heads=2, hidden=12, kernel=3, chunk=4, look_back=1, stem=STEM
    ),
}
STREAMING = [name for name, network in RECOGNISERS.items() if network.streams_places]


@functools.cache
def model(name, sampler=PrefixBeamSearch()):
    task = CTC(RECOGNISERS[name], sampler=sampler).sized(SPEC)
    return task, livened(jax.jit(task.init)(jax.random.key(0)))


@functools.cache
def compiled(task, method):
    return jax.jit(getattr(task, method))


def recordings(*lengths, samples=SAMPLES):
    """Noise of these lengths, the same whatever it is padded to."""
    value = np.zeros((len(lengths), samples), np.float32)
    for row, length in enumerate(lengths):
        value[row, :length] = 0.1 * np.random.default_rng(row).standard_normal(length)
    return {"wave": {"value": value, "length": np.asarray(lengths, np.int32)}}


def texts(*strings):
    value = np.full((len(strings), T + 1), BLANK, np.int32)
    value[:, 0] = V
    for row, string in enumerate(strings):
        value[row, 1 : len(string) + 1] = string
    return {"value": value, "mask": np.stack([np.arange(T) <= len(string) for string in strings])}


def test_they_are_tasks():
    task, _ = model("lstm")
    assert isinstance(task, Task) and isinstance(task, Likelihood) and isinstance(task, Policy)


def test_a_texts_likelihood_is_the_sum_over_all_paths_and_all_texts_sum_to_one():
    task, variables = model("lstm")
    lengths = 200  # two places, so that there are 16 paths
    given = recordings(lengths)
    logits, own = task._logits(variables, {"given": given}, None)
    places = int(own.sum())
    assert places == 2
    log_probs = np.asarray(jax.nn.log_softmax(logits))[0, :places]
    sums = {}
    for path in itertools.product(range(V), repeat=places):
        text = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        sums[text] = sums.get(text, 0.0) + np.exp(sum(log_probs[place, token] for place, token in enumerate(path)))
    assert sum(sums.values()) == pytest.approx(1.0, abs=1e-5)
    strings = list(sums)
    batch = {"row": np.arange(len(strings)), "made": texts(*strings)}
    batch["given"] = jax.tree.map(lambda a: np.repeat(a, len(strings), axis=0), given)
    log_prob = compiled(task, "log_prob")(variables, batch, jax.random.key(0))
    np.testing.assert_allclose(np.exp(log_prob), [sums[string] for string in strings], rtol=1e-4)
    best = model("lstm", PrefixBeamSearch(width=16))[0]
    found = compiled(best, "sample")(variables, {"row": np.arange(1), "given": given}, jax.random.key(0))["made"]
    string = tuple(token for token in np.asarray(found["value"])[0, 1:].tolist() if token != BLANK)
    assert string == max(sums, key=sums.get) and found["score"][0] == pytest.approx(np.log(sums[string]), abs=1e-4)


def test_with_a_language_model_the_best_text_is_that_of_both():
    spec = Spec(Tokens(T, V, framing=Framing.PACKED))
    language = LanguageModel(RecurrentNetwork(width=8, embedding=6)).sized(spec)
    spoken = jax.tree.map(lambda leaf: 12 * leaf, livened(jax.jit(language.init)(jax.random.key(3))))
    part = Part("language_model", "task.sampler.language_model", language, spec)
    task, variables = model("lstm", PrefixBeamSearch(width=30, language_model=part, language_weight=3.0))
    variables = variables.replace(parts={"language_model": spoken})
    given = recordings(200)
    texts_ = [text for count in range(3) for text in itertools.product(range(BLANK), repeat=count)]
    batch = {"row": np.arange(len(texts_)), "made": texts(*texts_)}
    batch["given"] = jax.tree.map(lambda a: np.repeat(a, len(texts_), axis=0), given)
    heard = np.asarray(compiled(task, "log_prob")(variables, batch, jax.random.key(0)))
    value = batch["made"]["value"]
    logits, _ = language.network.apply({"params": spoken.params}, value[:, :-1], None, None)
    each = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), value[:, 1:, None], axis=-1)[..., 0]
    both = heard + 3.0 * (each * batch["made"]["mask"]).sum(axis=1)
    found = compiled(task, "sample")(variables, {"row": np.arange(1), "given": given}, jax.random.key(0))["made"]
    string = tuple(token for token in np.asarray(found["value"])[0, 1:].tolist() if token != BLANK)
    assert string == texts_[int(both.argmax())] and int(both.argmax()) != int(heard.argmax())
    assert found["score"][0] == pytest.approx(both.max(), abs=1e-4)


def test_a_text_longer_than_its_recording_counts_for_nothing_and_is_counted():
    task, variables = model("lstm")
    given, made = recordings(200, 1800), texts((0, 1, 0), (0, 1, 0))
    batch = {"row": np.arange(2), "given": given, "made": made}
    sums, _ = compiled(task, "evaluate")(variables, batch, jax.random.key(0))
    figures = task.finish(sums)
    part = jax.tree.map(lambda a: a[1:], batch)
    alone = task.finish(compiled(task, "evaluate")(variables, part, jax.random.key(0))[0])
    assert figures["texts_too_long"] == 0.5 and alone["texts_too_long"] == 0
    assert float(figures["nats_per_token"]) == pytest.approx(float(alone["nats_per_token"]), rel=1e-5)
    assert np.isneginf(compiled(task, "log_prob")(variables, batch, jax.random.key(0))).tolist() == [True, False]
    gradient = jax.grad(lambda params: task.loss(variables.replace(params=params), batch, jax.random.key(1))[0].value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(variables.params)))


@pytest.mark.parametrize("name", RECOGNISERS)
def test_padding_changes_nothing(name):
    task, variables = model(name)
    longer = CTC(RECOGNISERS[name]).sized(Spec(SPEC.made, (("wave", Wave(2900, RATE)),)))
    short, _ = compiled(task, "_logits")(variables, {"given": recordings(900, 1450)}, None)
    long, own = compiled(longer, "_logits")(variables, {"given": recordings(900, 1450, samples=2900)}, None)
    for row in range(2):
        places = int(own[row].sum())
        np.testing.assert_allclose(short[row, :places], long[row, :places], atol=2e-5)


def windows(task, wave, length):
    """The windows of a recording as they come, and which of their frames are whole."""
    stem, places = task.network.stem, task.window.places
    sub, step, frames = stem.subsampling, stem.log_mel.step, stem.log_mel.frames(length)
    for first in range(0, stem.places(length), places):
        start = (first - 1) * sub * step
        index = start + np.arange(task.window.samples)
        window = np.where((index >= 0) & (index < length), wave[np.clip(index, 0, length - 1)], 0.0)
        number = (first - 1) * sub + np.arange(sub * (places + 1))
        yield window[None].astype(np.float32), ((number >= 0) & (number < frames))[None]


@pytest.mark.parametrize("name", STREAMING)
def test_read_as_it_comes_a_recording_gives_what_it_gives_as_a_whole(name):
    task, variables = model(name)
    given, length = recordings(1830), 1830
    logits, own = compiled(task, "_logits")(variables, {"given": given}, None)
    whole = np.asarray(jax.nn.log_softmax(logits))[0, : int(own.sum())]
    carry, parts = task.begin(1), []
    for window, frames in windows(task, given["wave"]["value"][0], length):
        log_probs, own, carry = compiled(task, "advance")(variables, window, frames, carry)
        parts.append(np.asarray(log_probs)[0][np.asarray(own)[0]])
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


@pytest.mark.parametrize("name", STREAMING)
def test_what_comes_later_changes_no_earlier_place(name):
    task, variables = model(name)
    other = recordings(1990)
    other["wave"]["value"][:, 1000:] *= -3
    first = compiled(task, "_logits")(variables, {"given": recordings(1990)}, None)[0]
    second = compiled(task, "_logits")(variables, {"given": other}, None)[0]
    chunk, stem = task.network.streams_places, task.network.stem
    known = (1000 - stem.log_mel.samples) // (stem.subsampling * stem.log_mel.step) // chunk * chunk
    np.testing.assert_allclose(first[0, :known], second[0, :known], atol=1e-5)
    assert known and not np.allclose(first, second, atol=1e-3)


JOINT = {
    "rnn": RecurrentEncoderDecoder(width=8, embedding=8, dropout=0.0, stem=STEM),
    "transformer": TransformerEncoderDecoder(
        width=8, heads=2, hidden=12, dropout=0.0, encoder_blocks=1, blocks=1, stem=STEM
    ),
}


@pytest.mark.parametrize("name", JOINT)
def test_jointly_the_loss_is_the_weighted_sum_of_the_two(name):
    still = JOINT[name].clone(stem=STEM.clone(augment=None))
    joint = SequenceToSequence(still, ctc=0.25).sized(SPEC)
    variables = livened(jax.jit(joint.init)(jax.random.key(0)))
    assert "place_head" in variables.params
    alone = SequenceToSequence(still).sized(SPEC)
    lacking = variables.replace(params={k: v for k, v in variables.params.items() if k != "place_head"})
    batch = {"row": np.arange(2), "given": recordings(1900, 1400), "made": texts((0, 1), (2,))}
    both, aux = compiled(joint, "loss")(variables, batch, jax.random.key(1))
    decoded, _ = compiled(alone, "loss")(lacking, batch, jax.random.key(1))
    expected = 0.75 * decoded.value + 0.25 * aux.metrics["ctc_nats_per_token"].value
    assert both.value == pytest.approx(float(expected), rel=1e-5)


def test_a_picture_is_read_patch_by_patch_and_attended_to():
    spec = Spec(SPEC.made, (("picture", Image(8, 8, 3, 256)),))
    for network in (
        RecurrentEncoderDecoder(width=8, embedding=8, encoder_layers=0, stem=PictureStem(patch=4)),
        TransformerEncoderDecoder(width=8, heads=2, hidden=12, encoder_blocks=1, blocks=1, stem=PictureStem(patch=4)),
    ):
        task = SequenceToSequence(network).sized(spec)
        variables = livened(jax.jit(task.init)(jax.random.key(0)))
        pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
        request = {"row": np.arange(3), "given": {"picture": {"value": pictures}}}
        samples = compiled(task, "sample")(variables, request, jax.random.key(0))
        weights = compiled(task, "attention")(variables, samples)
        assert weights.shape == (3, T, 4)
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "spec", "message"),
    [
        (CTC(RECOGNISERS["lstm"]), Spec(Tokens(4, 4), SPEC.given), "makes a text"),
        (SequenceToSequence(RecurrentEncoderDecoder()), SPEC, "network.stem=SpeechStem"),
        (SequenceToSequence(JOINT["rnn"]), Spec(SPEC.made, (("p", Image(9, 9, 1, 2)),)), "network.stem=PictureStem"),
    ],
)
def test_what_does_not_suit_is_told(task, spec, message):
    with pytest.raises(UserError, match=message):
        task.sized(spec)


WAITING = {
    "rnn": RecurrentEncoderDecoder(width=8, embedding=6, bidirectional=False, dropout=0.0),
    "transformer": TransformerEncoderDecoder(
        width=8, heads=2, hidden=12, encoder_blocks=2, blocks=2, chunk=1, dropout=0.0
    ),
}
SENTENCES = Spec(Tokens(T, V, framing=Framing.TARGET), (("source", Tokens(6, 5, framing=Framing.SOURCE)),))


@pytest.mark.parametrize("name", WAITING)
def test_a_token_made_while_reading_knows_only_what_was_read(name):
    """Token t sees the first t + k places: what follows them changes nothing, and what is seen does."""
    base = SequenceToSequence(WAITING[name], waits=(1, 3))
    task = replace(base, sampler=replace(base.sampler, wait_k=2)).sized(SENTENCES)
    variables = livened(jax.jit(task.init)(jax.random.key(0)))
    value = np.asarray([[0, 1, 2, 3, 4, 0]])
    batch = {"row": np.arange(1), "made": texts((0, 1, 2))}

    def log_prob(value):
        given = {"source": {"value": value, "mask": np.ones_like(value, bool)}}
        return np.asarray(compiled(task, "_log_prob")(variables, batch | {"given": given}))[0]

    for place in range(1, 6):
        other = value.copy()
        other[0, place] = (value[0, place] + 1) % 5
        same = np.isclose(log_prob(value), log_prob(other), atol=1e-6)
        first = max(place + 1 - 2, 0)  # the first token that sees the place
        assert same[:first].all() and (first >= T or not same[first:].all())


@pytest.mark.parametrize("name", WAITING)
@pytest.mark.parametrize("wait_k", [1, 3, 9])
def test_while_reading_too_step_by_step_gives_what_is_scored(name, wait_k):
    base = SequenceToSequence(WAITING[name])
    task = replace(base, sampler=replace(base.sampler, wait_k=wait_k, width=3, length_penalty=0.0)).sized(SENTENCES)
    variables = livened(jax.jit(task.init)(jax.random.key(0)))
    given = {"source": {"value": np.asarray([[0, 1, 2, 3, 4, 0], [3, 3, 1, 0, 0, 0]])}}
    given["source"]["mask"] = np.arange(6) < np.asarray([[6], [3]])
    samples = compiled(task, "sample")(variables, {"row": np.arange(2), "given": given}, jax.random.key(0))
    value = np.asarray(samples["made"]["value"])
    lengths = (value[:, 1:] != BLANK).sum(axis=1)
    made = {"value": value, "mask": np.arange(T) <= np.minimum(lengths, T - 1)[:, None]}
    batch = {"row": np.arange(2), "given": given, "made": made}
    scored = np.asarray(compiled(task, "_log_prob")(variables, batch))
    forced = np.where((np.arange(T) == T - 1), 0.0, scored)  # the last place is an end, whatever is likely
    np.testing.assert_allclose((forced * made["mask"]).sum(axis=1), samples["made"]["score"], atol=1e-5)


LISTENING = {
    "rnn": RecurrentEncoderDecoder(width=8, embedding=6, layers=1, bidirectional=False, dropout=0.0, stem=STEM),
    "transformer": TransformerEncoderDecoder(
        width=8, heads=2, hidden=12, encoder_blocks=2, blocks=1, chunk=2, dropout=0.0, stem=STEM
    ),
}


@functools.cache
def listening(name):
    sampler = TokenSampler(wait_k=2)
    task = SequenceToSequence(LISTENING[name], sampler=sampler, waits=(2, 2), stride=4).sized(SPEC)
    return task, livened(jax.jit(task.init)(jax.random.key(0)))


@pytest.mark.parametrize("name", LISTENING)
def test_a_token_made_while_hearing_knows_only_what_was_heard(name):
    """Token t sees the first (t + k) * stride places: later samples change nothing, those of its last places do."""
    task, variables = listening(name)
    batch, first = {"row": np.arange(1), "made": texts((0, 1, 2))}, recordings(SAMPLES)
    stem, k = task.network.stem, task.sampler.wait_k
    plain = compiled(task, "_log_prob")(variables, batch | {"given": first})[0]
    for token in range(T):
        frames = (token + k) * task.stride * stem.subsampling
        end = (frames - 1) * stem.log_mel.step + stem.log_mel.samples  # of the samples that the token knows of
        assert end < SAMPLES
        for begin, known in ((end, True), (end - stem.subsampling * stem.log_mel.step, False)):
            other = jax.tree.map(np.copy, first)
            other["wave"]["value"][:, begin:] *= -30
            changed = compiled(task, "_log_prob")(variables, batch | {"given": other})[0]
            same = np.isclose(plain, changed, rtol=0, atol=1e-6)
            assert same[: token + known].all() and (token + known == T or not same[token + known :].all())


@pytest.mark.parametrize("name", LISTENING)
def test_what_is_drawn_while_hearing_is_scored_and_attended_to_as_it_was_drawn(name):
    task, variables = listening(name)
    request = {"row": np.arange(2), "given": recordings(1900, 700)}
    episode = compiled(task, "rollout")(variables, request, jax.random.key(2))
    np.testing.assert_allclose(compiled(task, "score")(variables, episode), episode.log_prob, atol=1e-5)
    weights = np.asarray(compiled(task, "attention")(variables, episode.example))
    seen = np.arange(weights.shape[-1]) < ((np.arange(T) + task.sampler.wait_k) * task.stride)[:, None]
    own = np.arange(weights.shape[-1]) < task.network.stem.places(700)
    assert (weights[0] > 0).sum() == seen.sum() and ((weights[1] > 0) == (seen & own)).all()
    # trained so as well: the loss of one k is that of the likelihood under it
    made = {"value": np.asarray(episode.actions), "mask": np.ones((2, T), bool)}
    still = replace(task, network=task.network.clone(stem=task.network.stem.clone(augment=None)))
    _, aux = compiled(still, "loss")(variables, request | {"made": made}, jax.random.key(1))
    nats = -compiled(task, "_log_prob")(variables, request | {"made": made}).mean()
    assert aux.metrics["nats_per_token"].value == pytest.approx(float(nats), rel=1e-5)


def test_a_network_that_reads_ahead_cannot_translate_while_it_reads():
    with pytest.raises(UserError, match=r"network\.chunk=1"):
        SequenceToSequence(TransformerEncoderDecoder(), waits=(3, 3)).sized(SENTENCES)
    with pytest.raises(UserError, match=r"divisor of task\.stride, 3"):
        SequenceToSequence(LISTENING["transformer"], waits=(3, 3), stride=3).sized(SPEC)
