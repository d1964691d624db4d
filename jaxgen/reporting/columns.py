"""What the comparison table says about each figure: its name in plain words, its unit, and which way is better."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from jaxgen.reporting.markup import counted, hundredths, number, percent, rounded, short
from jaxgen.reporting.reasons import reasons


class Better(Enum):
    """Which way a figure is better; the value is the sign in the column's head and its words."""

    LOWER = ("↓", "lower is better")
    HIGHER = ("↑", "higher is better")
    HALF = ("→ 0.5", "0.5 is best")
    ONE = ("→ 1", "1 is best")
    NEITHER = ("", "")


class Group(Enum):
    """The tables, by their captions."""

    QUALITY = "How good"
    COST = "At what cost"
    OTHER = "Other figures"


@dataclass(frozen=True)
class Column:
    """A column of the table. `name` is the figure's name in summary.json, `detail` what stands in its brackets."""

    name: str
    head: str
    unit: str
    better: Better
    tooltip: str
    show: Callable[[float], str] = rounded
    group: Group = Group.QUALITY
    detail: str = ""

    @property
    def base(self) -> str:
        """The name without its brackets."""
        return self.name.partition("[")[0]

    def best(self, values: Sequence[float | None]) -> float | None:
        """The best of a column's values, or None where there is nothing to choose."""
        known = [value for value in values if value is not None]
        if self.better is Better.NEITHER or len(known) < 2 or len(set(map(self.show, known))) == 1:
            return None
        if self.better in (Better.HALF, Better.ONE):
            target = 0.5 if self.better is Better.HALF else 1.0
            return min(known, key=lambda value: abs(value - target))
        return min(known) if self.better is Better.LOWER else max(known)


# The order here is the table's order. One line of tooltip each; the page's own passage says more.
QUALITY = (
    Column("two_sample_accuracy", "Told from real", "", Better.HALF,
           "How often a classifier tells held-out samples from real examples; 0.5 is guessing", hundredths),
    Column("frechet_distance", "Fréchet distance", "", Better.LOWER,
           "Distance between the feature statistics of samples and of real examples, in the features named below"),
    Column("kernel_distance", "Kernel distance", "", Better.LOWER,
           "A distance between the same features; 0 or less is as good as real examples"),
    Column("reconstruction_psnr_db", "PSNR", "dB, made again", Better.HIGHER,
           "Peak signal-to-noise ratio of held-out pictures made again from their latents"),
    Column("reconstruction_frechet_distance", "Fréchet distance", "made again", Better.LOWER,
           "The same distance of held-out pictures made again from their latents, from themselves"),
    Column("frechet_video_distance", "Fréchet video distance", "", Better.LOWER,
           "Distance between the feature statistics of samples and of half of the real clips, in the features named"),
    Column("real_frechet_video_distance", "of the other real clips", "video distance", Better.NEITHER,
           "The same of the other half of the real clips: no model does better but by chance"),
    Column("frozen_frechet_video_distance", "of their first frames", "video distance", Better.NEITHER,
           "The same of those real clips standing still: a model that makes clips which move lies below"),
    Column("shuffled_frechet_video_distance", "of their frames shuffled", "video distance", Better.NEITHER,
           "The same of those real clips in another order: a model whose clips hang together in time lies below"),
    Column("identity_kept_fraction", "Digits stay", "% of clips", Better.HIGHER,
           "Share of the clips whose digits are recognised as the same ones in all frames", percent),
    Column("real_identity_kept_fraction", "Digits stay", "% of real clips", Better.NEITHER,
           "The same of the real clips", percent),
    Column("velocity_change_pixels", "Velocity's change", "pixels a frame", Better.LOWER,
           "Mean absolute change of a digit's velocity from frame to frame, far from walls; 0 where it stands still",
           hundredths),
    Column("real_velocity_change_pixels", "of real clips", "velocity's change", Better.NEITHER,
           "The same of the real clips, whose digits are drawn at whole pixels", hundredths),
    Column("speed_pixels", "Speed", "pixels a frame", Better.NEITHER, "Mean speed of the digits in the samples",
           hundredths),
    Column("real_speed_pixels", "Speed", "of real clips", Better.NEITHER, "Mean speed of the digits in the real clips",
           hundredths),
    Column("recognised_fraction", "Recognised", "% of samples", Better.HIGHER,
           "Share of samples that a classifier trained on real data gives the class they were drawn for", percent),
    Column("retrieval_top_1", "Found first", "% of samples", Better.HIGHER,
           "Share of samples whose own prompt a contrastive net finds first among a hundred", percent),
    Column("retrieval_top_5", "Found", "% of samples, first five", Better.HIGHER,
           "Share of samples whose own prompt is among the first five of a hundred", percent),
    Column("real_retrieval_top_1", "Found first", "% of real pictures", Better.NEITHER,
           "The same of the real pictures: what that net makes of the best samples there could be", percent),
    Column("real_retrieval_top_5", "Found", "% of real pictures, first five", Better.NEITHER,
           "The same of the real pictures", percent),
    Column("precision", "Precision", "", Better.HIGHER,
           "Share of samples that lie where real examples lie: fidelity", hundredths),
    Column("recall", "Recall", "", Better.HIGHER,
           "Share of real examples that lie where samples lie: variety", hundredths),
    Column("density", "Density", "", Better.HIGHER,
           "In how many neighbourhoods of real examples a sample lies, over their number there: fidelity", hundredths),
    Column("coverage", "Coverage", "", Better.HIGHER,
           "Share of real examples that have a sample in their neighbourhood: variety", hundredths),
    Column("diversity", "Diversity", "", Better.ONE,
           "How far samples of a class lie apart: 1 is as far as held-out examples do, 0 is all alike", hundredths),
    Column("classes_drawn", "Classes drawn", "", Better.HIGHER, "Classes of which at least one sample was recognised",
           short),
    Column("wer", "Word errors", "WER", Better.LOWER, "Word edits needed, per word of the reference", percent),
    Column("cer", "Letter errors", "CER", Better.LOWER, "Character edits needed, per character of the reference",
           percent),
    Column("bits_per_dim", "Likelihood", "bits/dim", Better.LOWER,
           "Held-out data: bits needed for one pixel value; a GAN has no likelihood", hundredths),
    Column("nats_per_code", "Likelihood", "nats/code", Better.LOWER,
           "Held-out data: mean negative log-probability of a picture's code; of other codes it is another number",
           hundredths),
    Column("nats_per_token", "Likelihood", "nats/token", Better.LOWER,
           "Held-out text: mean negative log-probability of a token", hundredths),
    Column("bits_per_character", "Likelihood", "bits/character", Better.LOWER,
           "Held-out text: bits needed for one character", hundredths),
    Column("bits_per_byte", "Likelihood", "bits/byte", Better.LOWER,
           "Held-out text: bits needed for one byte, whatever the tokens are", hundredths),
    Column("perplexity_per_word", "Perplexity", "a word", Better.LOWER,
           "exp of the nats per word, the ends of lines among them"),
    Column("perplexity", "Perplexity", "", Better.LOWER,
           "exp of the nats per token: the number of equally likely tokens that would be as hard to guess"),
    Column("reward_at_start", "Reward before", "", Better.NEITHER,
           "Mean reward of the samples of the run that this one started from", hundredths),
    Column("reward", "Reward after", "", Better.HIGHER, "Mean reward of the samples", hundredths),
    Column("kl_nats", "KL from the start", "nats", Better.LOWER,
           "How much likelier the samples are here than where the tuning started; a bound where states are drawn"),
    Column("squared_distance", "Distance from the start", "pixels in [-1, 1]", Better.LOWER,
           "Mean squared difference of samples drawn from the same noise, here and where the tuning started"),
    Column("cider", "CIDEr-D", "", Better.HIGHER,
           "Overlap of the captions' word sequences with the references, rare ones counting more; at most 10",
           hundredths),
    Column("bleu", "BLEU", "", Better.HIGHER, "Overlap of the word sequences that were made with the references"),
    Column("chrf", "chrF", "", Better.HIGHER, "Overlap of the translations' character sequences with the references"),
    Column("exact_match", "Exact", "% of texts", Better.HIGHER, "Share of the texts made that equal the reference",
           percent),
    Column("texts_too_long", "Too long", "% of texts", Better.LOWER,
           "Share of texts with more tokens than their recordings have places, which CTC cannot tell", percent),
    Column("held_out_examples", "Compared with", "held-out examples", Better.NEITHER,
           "Held-out examples that samples were compared with; figures of other numbers are others", counted),
    Column("psnr_db", "PSNR", "dB", Better.HIGHER, "Peak signal-to-noise ratio of restored pictures"),
    Column("ssim", "SSIM", "", Better.HIGHER, "Structural similarity of restored pictures", hundredths),
)
COST = (
    Column("parameters", "Parameters", "", Better.NEITHER, "Numbers learned, all players together",
           counted, Group.COST),
    Column("frozen_fraction", "Frozen", "% of parameters", Better.NEITHER,
           "Share of the parameters that the tuning left as they were", percent, Group.COST),
    Column("steps", "Steps", "", Better.NEITHER, "Optimiser steps", counted, Group.COST),
    Column("train_seconds", "Training", "s", Better.LOWER, "Time of the training steps, compiling left out",
           rounded, Group.COST),
    Column("compile_seconds", "Compiling", "s", Better.LOWER, "Time until the compiled program was ready",
           rounded, Group.COST),
    Column("examples_per_second", "Training speed", "examples/s", Better.HIGHER,
           "Training examples a second, compiling and pauses left out", rounded, Group.COST),
    Column("samples_per_second", "Sampling speed", "samples/s", Better.HIGHER,
           "Samples drawn a second, compiling left out", rounded, Group.COST),
)
SPREAD = "/spread"
LOW, HIGH = "/low", "/high"
KNOWN = {column.name: column for column in (*QUALITY, *COST)}


def columns(rows: Iterable[Mapping[str, object]]) -> list[Column]:
    """The columns of all figures that some row has a number for, or a reason against it: the known ones in their order.

    A spread (`NAME/spread`, the standard deviation between draws) belongs to its figure's cell, and so does an interval
    (`NAME/low` and `NAME/high`).
    """
    names = dict.fromkeys(
        name
        for row in rows
        for name in (*row, *reasons(row))
        if name in reasons(row) or (number(row.get(name)) is not None and not name.endswith((SPREAD, LOW, HIGH)))
    )
    order = {name: place for place, name in enumerate(KNOWN)}
    return sorted(map(_column, names), key=lambda column: order.get(column.base, len(order)))


def _column(name: str) -> Column:
    """The column of `base[detail]`; a figure nobody told us about stands under its own name and marks no best value."""
    base, _, detail = name.partition("[")
    known = KNOWN.get(base) or Column(name, base.replace("_", " "), "", Better.NEITHER, name, group=Group.OTHER)
    return replace(known, name=name, detail=detail.removesuffix("]"))
