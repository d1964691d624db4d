"""`jaxgen score`: how likely a run holds the user's own examples, or how real."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxgen.core.task import Critic, Likelihood
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say
from jaxgen.running.requests import label_of
from jaxgen.running.trained import Trained, load_trained
from jaxgen.types import Batch, Spec


def score(
    workdir: str, config: str | None, settings: Sequence[str], examples: Sequence[str], labels: Sequence[str]
) -> int:
    """One JSON object a line of stdout, in the order given."""
    trained = load_trained(Path(workdir), config, say, settings)
    task, spec = trained.assembly.task, trained.assembly.spec
    if not isinstance(task, Likelihood | Critic):
        raise UserError(
            f"a {type(task).__name__} gives neither a likelihood nor a probability of being real; nothing to score"
        )
    if labels and len(labels) != len(examples):
        raise UserError(
            f"{len(examples)} examples and {len(labels)} labels; give --label once for each example, or not at all"
        )
    for number, example in enumerate(examples):
        batch = read_example(example, trained)
        for label in classes_of(labels[number : number + 1], spec):
            print(
                json.dumps(
                    {
                        "example": example,
                        **({} if label is None else {"label": label}),
                        **_scored(trained, batch, label),
                    }
                )
            )
    return 0


def classes_of(labels: Sequence[str], spec: Spec) -> list[int | None]:
    """The classes to score under: the one given, all where none is, None where the data have none."""
    if not spec.classes:
        return [None]
    return [label_of(labels[0], spec.classes, "--label")] if labels else list(range(spec.classes))


def _scored(trained: Trained, batch: Batch, label: int | None) -> dict[str, float | str]:
    task, variables = trained.assembly.task, trained.variables
    batch = batch if label is None else batch | {"label": np.asarray([label], np.int32)}
    figures: dict[str, float | str] = {}
    if isinstance(task, Likelihood):
        log_prob = jax.jit(task.log_prob)(variables, batch, trained.assembly.key)
        figures |= {"log_prob_nats": float(log_prob[0]), "bound": task.bound}
    if isinstance(task, Critic):
        figures["probability_real"] = float(jax.jit(task.probability)(variables, batch)[0])
    return figures


def read_example(example: str, trained: Trained) -> Batch:
    """A batch of one: a picture file in the data's size and levels, or a text (a file's, or the words themselves)."""
    spec = trained.assembly.spec
    row = {"row": np.zeros(1, np.int32)}
    if spec.image is not None:
        return row | {"image": read_picture(Path(example), spec)[None]}
    text = Path(example).read_text(encoding="utf-8") if os.path.isfile(example) else example
    tokens = trained.assembly.experiment.data.encode(text)
    if len(tokens) < 2:
        raise UserError("a text needs at least two characters to be scored: the first one is given")
    return row | {"tokens": tokens[None], "fresh": np.ones(1, bool)}


def read_picture(path: Path, spec: Spec) -> np.ndarray:
    """[H, W, C] levels of a picture file, resized to the data's size."""
    from PIL import Image

    height, width, channels = spec.image
    try:
        picture = Image.open(path).convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise UserError(f"there is no picture {path}; give the path of a PNG or JPEG file") from None
    except OSError as error:
        raise UserError(f"{path} is no picture that can be read ({error})") from None
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(picture, np.float32).reshape(height, width, channels)
    return np.round(pixels * ((spec.levels - 1) / 255)).astype(np.uint8)
