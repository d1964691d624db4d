"""The vocabulary kept in a run: its tokens mean the same whatever becomes of the text that they were fitted to."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.training.folder import RunFolder, read_json
from jaxgen.types import Key

VOCABULARY = "vocabulary.json"


@runtime_checkable
class HasVocabulary(Protocol):
    """Data whose tokens are fitted to a text."""

    def vocabulary_document(self) -> dict[str, Any]:
        """What the run keeps, as JSON; made from the text where it was not given."""

    def text_digest(self) -> str:
        """SHA-256 of the text that the vocabulary is fitted to."""

    def with_vocabulary(self, document: dict[str, Any]) -> "HasVocabulary":
        """These data with a kept vocabulary; UserError when the document is none of theirs."""

    def begin(self, key: Key, moving: Any) -> Any:
        """The source's state before the first batch, without reading the text."""


@runtime_checkable
class Remarking(Protocol):
    """Data that have something to say."""

    def remarks(self, source: Any) -> Iterator[str]:
        """What the user should know of what `source` has read."""


def kept(experiment: Experiment, workdir: Path) -> Experiment:
    """The experiment with the vocabulary that its run keeps; as it was where the run keeps none."""
    held = read_json(workdir / VOCABULARY)
    if held is None or not isinstance(experiment.data, HasVocabulary):
        return experiment
    try:
        data = experiment.data.with_vocabulary(_parts(held, workdir)[1])
    except UserError as error:
        raise UserError(f"{workdir / VOCABULARY}: {error}") from None
    return dataclasses.replace(experiment, data=data)


def trained_with(experiment: Experiment, workdir: Path) -> Experiment:
    """The experiment with the vocabulary that a run which learns from the text must use.

    That is the one which it has kept, and UserError when the text has another one now; a new run that starts from
    another's weights takes over what those weights know the tokens by.
    """
    held = read_json(workdir / VOCABULARY)
    data = experiment.data
    if not isinstance(data, HasVocabulary):
        return experiment
    if held is None:
        return experiment if experiment.start is None else kept(experiment, Path(experiment.start))
    digest, document = _parts(held, workdir)
    if digest != data.text_digest() and document != data.vocabulary_document():
        raise UserError(
            f"the training text has changed since {workdir} was begun, and with it the vocabulary; "
            "restore the text, or give another --workdir"
        )
    return kept(experiment, workdir)


def keep(folder: RunFolder, experiment: Experiment) -> None:
    """Write the vocabulary into the run, once."""
    data = experiment.data
    if isinstance(data, HasVocabulary) and not (folder.path / VOCABULARY).exists():
        held = {"text_sha256": data.text_digest(), "vocabulary": data.vocabulary_document()}
        folder.write(VOCABULARY, json.dumps(held, ensure_ascii=False) + "\n")


def _parts(held: Any, workdir: Path) -> tuple[str, dict[str, Any]]:
    match held:
        case {"text_sha256": str(digest), "vocabulary": dict(document)}:
            return digest, document
    raise UserError(f"{workdir / VOCABULARY} holds no vocabulary as jaxgen writes it; restore it from a copy")
