"""The report's words: the headline that the figures give, and how to read the page."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable, Mapping, Sequence

from jaxgen.reporting.markup import duration, hundredths, number, rounded
from jaxgen.reporting.run_view import RunView, by_data, labels, split

FAMILIES = {"rnn": "RNN", "transformer": "Transformer", "gan": "GAN", "vae": "VAE", "diffusion": "Diffusion"}
COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")

# A passage stands on the page when one of its figures does.
PASSAGES = (
    (("two_sample_accuracy",),
     "“Told from real” is the accuracy of a classifier that was trained to tell samples from real examples, on pairs "
     "it has not seen. 0.50 is guessing, which is what perfect samples would leave it; 1.00 means that every sample "
     "gives itself away."),
    (("frechet_distance",),
     "The Fréchet distance compares the mean and the covariance of features of samples with those of real examples. "
     "The features come from the small network named in the column's head (or are the pixels themselves), not from "
     "Inception: compare these numbers with each other, never with a published FID, and only where the same number of "
     "examples was compared. Large pictures are compared by a fixed random projection, which the head then names: such "
     "a number is smaller than the distance of the whole pictures, and stands beside its like alone."),
    (("frechet_video_distance",),
     "The Fréchet video distance is a Fréchet distance of whole clips. It sees what is in the frames better than what "
     "happens from frame to frame: a model should lie near the other real clips and below the same clips standing "
     "still or shuffled, which stand beside it. All are of equally many clips."),
    (("identity_kept_fraction", "velocity_change_pixels", "speed_pixels"),
     "Of moving digits it is known how they fly: a digit stays the same digit, and its velocity changes at the walls "
     "alone. Clips that stand still change nothing either; their speed tells them."),
    (("recognised_fraction",),
     "“Recognised” is the share of samples that a classifier trained on real examples gives the class they were drawn "
     "for. It rewards clear samples and does not see whether they are all alike; recall does."),
    (("precision", "recall"),
     "Precision is the share of samples that lie among real examples, recall the share of real examples that lie among "
     "samples: the first falls when samples are poor, the second when they lack variety."),
    (("kernel_distance",),
     "The kernel distance compares the same features without taking them for Gaussian. Where samples are as good "
     "as real examples it is 0 on average, however many are compared, and below 0 where both sets have the same number "
     "of each class."),
    (("density", "coverage"),
     "Density and coverage ask the same of neighbourhoods around real examples alone, so that one odd example counts "
     "for little. Density exceeds 1 where samples crowd around the likeliest examples; coverage then falls."),
    (("diversity", "classes_drawn"),
     "Diversity sets how far samples of one class lie apart beside the same for held-out examples: 1 is as varied, 0 "
     "is all alike."),
    (("bits_per_dim",),
     "Bits/dim is how many bits the model needs to write down one pixel value of held-out data: the lower the better. "
     "≤ marks a bound: the model may be better than the number says, not worse. A GAN gives no probabilities, hence "
     "its dash."),
    (("nats_per_token", "perplexity", "perplexity_per_word", "bits_per_character", "bits_per_byte"),
     "Nats per token say how surprised the model is by held-out text; perplexity is their exponential. Both depend on "
     "what a token is, so compare only runs with the same vocabulary; bits per byte do not."),
    (("bleu", "chrf"),
     "BLEU and chrF compare translations with one reference each, by their runs of words and of characters: 100 is the "
     "reference itself, and a good translation in other words scores far less. Numbers of different data or of "
     "different signatures (among all figures) say nothing about each other."),
    (("cider",),
     "CIDEr-D compares a caption with its reference by the runs of words that both have, those that few references "
     "have counting more; a short reference cannot reach 10. What is rare depends on the held-out examples: compare "
     "only figures of the same ones."),
    (("wer", "cer"),
     "Error rates count the words, or characters, that must be replaced, left out or added to come from what was "
     "recognised to what was said, per word or character said: 0 is perfect, and more than 100 % is possible."),
    (("reward", "reward_at_start"),
     "A reward is a number that a judge gives a sample, and tuning makes samples that the judge likes. A higher reward "
     "alone proves little: samples may please the judge and still be poor or all alike, so look at the pictures, at "
     "the diversity and at how far the model went from its start."),
    (("kl_nats",),
     "The KL from the start is how many nats likelier, on average, the tuned model finds its own samples than the "
     "model it started from did: 0 is no change. Where a sample comes from a chain of drawn states it is a bound."),
    (("squared_distance",),
     "The distance from the start compares two pictures drawn from the same noise, before tuning and after: the mean "
     "squared difference of their pixels, on a scale from -1 to 1. 0 is no change."),
    (("frozen_fraction",),
     "The frozen share is the part of the parameters that tuning leaves exactly as they were; the rest learns on. "
     "“Before” is the model it started from, measured and drawn from before the first step."),
)
REFERENCES = (
    "The rows in italics are no models. Real examples set against other real examples show the best that a figure can "
    "be at this number of samples: no distance is exactly zero there. A model that copied its training data would "
    "reach that too, so these figures alone do not tell learning from remembering."
)
HISTOGRAM = (
    "The histogram draws each pixel on its own from the counts of its class and knows nothing of shapes. It does "
    "surprisingly well on small centred pictures, so a model has shown something only where it beats that row."
)
MARKS = (
    "The arrow in a column's head says which way is better, and the best of the runs is shaded. Point at a head for "
    "its meaning. A dash means that the run did not measure it; where there is a reason, "
    "it is told under the tables."
)


def titles(runs: Sequence[RunView]) -> list[str]:
    """The runs' labels as they are written: RNN, Transformer, GAN, VAE, Diffusion; other labels as they are.

    Runs on different data may have one title, and their names tell them apart.
    """
    found = {}
    for group in by_data(runs):
        for (place, _), label in zip(group, labels([run for _, run in group]), strict=True):
            found[place] = FAMILIES.get(label, label)
    return [found[place] for place in range(len(runs))]


def headline(runs: Sequence[RunView]) -> str:
    """One sentence: the best run in the first figure that two runs share, or simply what is here.

    Where some runs start afresh it speaks of those alone: tuned runs answer another question.
    """
    runs = [run for _, run in by_data(split(runs)[0] or runs)[0]]  # those on the first run's data
    names = ["diffusion model" if title == "Diffusion" else title for title in titles(runs)]
    for name in _called(runs, "two_sample_accuracy"):
        told = _best(runs, name, lambda value: abs(value - 0.5))
        if told is None:
            continue
        index, value = told
        return (
            f"The {names[index]}’s samples are the hardest to tell from real ones: a classifier is right "
            f"{100 * value:.0f}\u00a0% of the time, where guessing gives 50\u00a0%."
        )
    for name in _called(runs, "frechet_distance"):
        closest = _best(runs, name, float)
        if closest:
            index, value = closest
            return f"The {names[index]}’s samples lie closest to real ones, at a Fréchet distance of {rounded(value)}."
    likeliest = _best(runs, "bits_per_dim", float)
    if likeliest:
        index, value = likeliest
        return f"The {names[index]} needs the fewest bits for held-out data: {hundredths(value)} a dimension."
    return f"The {names[0]}, in figures and samples." if len(runs) == 1 else "Runs side by side."


def _called(runs: Sequence[RunView], base: str) -> list[str]:
    """The runs' figures of that name, whatever stands in their brackets."""
    return sorted({name for run in runs for name in run.summary if name.partition("[")[0] == base})


def lede(runs: Sequence[RunView]) -> str:
    """How many runs, and how long they trained in all; then how many start from others."""
    plain, tuned = split(runs)
    if not plain or not tuned:
        return _counted_runs(runs)
    verb = "start" if len(tuned) > 1 else "starts"
    by_data = sum(run.tuned_by == "data" for run in tuned)
    kinds = {"fine-tuned on data": by_data, "tuned toward a reward": len(tuned) - by_data}
    words = " and ".join(f"{_count(count).lower()} {kind}" for kind, count in kinds.items() if count)
    return f"{_counted_runs(plain)} {_count(len(tuned))} more {verb} from trained runs: {words}."


def _counted_runs(runs: Sequence[RunView]) -> str:
    seconds = [number(run.summary.get("train_seconds")) for run in runs]
    words = f"{_count(len(runs))} run{'s' if len(runs) > 1 else ''}"
    if None in seconds:
        return f"{words}."
    return f"{words}, {duration(sum(seconds))} of training{' in all' if len(runs) > 1 else ''}."


def _count(size: int) -> str:
    return COUNTS[size] if size < len(COUNTS) else str(size)


def family_title(run: RunView) -> str:
    """The run's family as it is written, or its name where it has none."""
    return FAMILIES.get(run.family, run.family) or run.name


def passages(figures: Iterable[str], references: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The sentences of "How to read this page" that this page needs, for figures and reference rows of these names."""
    bases, rows = {name.partition("[")[0] for name in figures}, list(references)
    texts = [MARKS, *(text for names, text in PASSAGES if bases.intersection(names))]
    texts += [REFERENCES, *_made_of(references)] if rows else []
    return texts + ([HISTOGRAM] if any("histogram" in name for name in rows) else [])


def _made_of(references: Mapping[str, Mapping[str, object]]) -> list[str]:
    """How many examples each data set's reference rows were made of, as far as they tell it."""
    told: dict[str, None] = {}
    for row in references.values():
        train, held_out = (number(row.get(f"{split}_examples")) for split in ("training", "held_out"))
        if train is not None and held_out is not None:
            of = f" of {row['data']}" if row.get("data") else ""
            told[f"These rows were made of {train:,.0f} training and {held_out:,.0f} held-out examples{of}."] = None
    return list(told)


def _best(runs: Sequence[RunView], name: str, badness) -> tuple[int, float] | None:
    """The place and value of the least bad run, or None where fewer than two runs have the figure."""
    values = [(index, number(run.summary.get(name))) for index, run in enumerate(runs)]
    known = [(index, value) for index, value in values if value is not None]
    return min(known, key=lambda pair: badness(pair[1])) if len(known) > 1 else None
