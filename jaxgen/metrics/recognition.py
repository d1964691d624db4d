"""How near recognised words come to those that were said: word and character error rates by the jiwer library."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

from jaxgen.metrics.unmeasured import Figures, Unmeasured, none_of

RECOGNITION_FIGURES = ("wer", "cer")


def recognition_measures(made: Sequence[str], references: Sequence[str]) -> Figures:
    """`wer` and `cer`: substitutions, deletions and insertions of all texts over the references' words or characters.

    Texts are compared as they are, upper and lower case and punctuation included, but for white space around them;
    words are what stands between white space. What is made where nothing was said counts as insertions. Unmeasured
    without a reference of any word.
    """
    if not references:
        return none_of(RECOGNITION_FIGURES, "there is no held-out text")
    import jiwer

    made, references = ([text.strip() for text in texts] for texts in (made, references))
    parts = {"wer": str.split, "cer": list}
    figures: Figures = {}
    for name, in_parts in parts.items():
        total = sum(len(in_parts(one)) for one in references)
        if not total:
            figures[name] = Unmeasured("nothing is said in the held-out examples")
            continue
        # jiwer refuses empty references: what was made for those is all insertions
        said = [(one, other) for one, other in zip(references, made, strict=True) if in_parts(one)]
        inserted = sum(len(in_parts(other)) for one, other in zip(references, made, strict=True) if not in_parts(one))
        process = jiwer.process_words if name == "wer" else jiwer.process_characters
        found = process([one for one, _ in said], [other for _, other in said])
        figures[name] = (found.substitutions + found.deletions + found.insertions + inserted) / total
    return figures
