"""What a run keeps of its data, so that it samples without them: sizes, class names, vocabulary, digests of splits."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxgen.config.document import encoded, from_document
from jaxgen.core.condition_growth import GrowClasses
from jaxgen.core.data import Data, HasVocabulary, Located, Named, Validated
from jaxgen.core.growth import GrowVocabulary
from jaxgen.core.start import Start
from jaxgen.data.class_matching import Classes, placed
from jaxgen.data.tokenizers import grown
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.modalities.presents import Meaning
from jaxgen.training.checkpoint_files import reached
from jaxgen.training.folder import EXPERIMENT, RunFolder, read_json
from jaxgen.training.processes import leads
from jaxgen.types import Spec

DATA = "data.json"


@runtime_checkable
class Digested(Protocol):
    """Data that tell which examples are in which split."""

    def split_digests(self) -> dict[str, dict[str, Any]]:
        """For each split how many `examples` it has, and the `sha256` of which they are."""


@dataclass(frozen=True)
class DataInfo:
    """Sizes and names: what sampling needs to know of the data."""

    spec: Spec
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Data) -> "DataInfo":
        return cls(data.spec(), data.class_names() if isinstance(data, Named) else {})

    def meanings(self, data: Data) -> dict[str, Meaning]:
        """What the numbers of each thing given, and of what is made, mean."""
        coded = isinstance(data, HasVocabulary)
        return {
            name: Meaning(data.name, tuple(self.class_names.get(name, ())), data.codec(name) if coded else None)
            for name in (*dict(self.spec.given), "made")
        }


def chosen_data(experiment: Experiment) -> Data:
    """The experiment's data, with examples set aside for validation where something chooses by them."""
    if experiment.best is None and experiment.stop is None:
        return experiment.data
    if not isinstance(experiment.data, Validated):
        raise UserError("`best` and `stop` choose by a validation split, which these data have not; leave them out")
    return experiment.data.with_validation()


def info_of(experiment: Experiment, workdir: Path) -> DataInfo:
    """What the run in `workdir` has kept; of a run with a modality of the user's own, what its data say."""
    held = read_json(workdir / DATA)
    match held:
        case {"spec": dict(document), "class_names": dict(names)}:
            if "user" in json.dumps(document):
                return DataInfo.of(experiment.data)
            return DataInfo(from_document(document), {name: tuple(listed) for name, listed in names.items()})
    raise UserError(f"{workdir / DATA} is missing or damaged; restore it from a copy")


def with_kept_vocabulary(experiment: Experiment, workdir: Path) -> Experiment:
    """The experiment with the vocabulary that its run keeps; as it was where the run keeps none."""
    kept = _vocabulary(workdir)
    if kept is None or not isinstance(experiment.data, HasVocabulary):
        return experiment
    try:
        data = experiment.data.with_vocabulary(kept[1])
    except UserError as error:
        raise UserError(f"{workdir / DATA}: {error}") from None
    return dataclasses.replace(experiment, data=data)


def to_train(experiment: Experiment, workdir: Path) -> Experiment:
    """The experiment with the data, and the vocabulary, that a run trains on.

    That is the vocabulary which the run has kept, and UserError when the text has another one now; a new run that
    starts from another's weights takes over the one that those weights were trained with.
    """
    experiment = _with_class_places(dataclasses.replace(experiment, data=chosen_data(experiment)))
    data, kept = experiment.data, _vocabulary(workdir)
    if not isinstance(data, HasVocabulary):
        return experiment
    if kept is None:
        start = experiment.start
        return experiment if start is None else _placed(_with_vocabulary_of(experiment, start))
    if kept[0] != data.text_digest() and kept[1] != data.vocabulary_document():
        raise UserError(
            f"the training text has changed since {workdir} was begun, and with it the vocabulary; "
            "restore the text, or give another --workdir"
        )
    return _placed(with_kept_vocabulary(experiment, workdir))


def _with_vocabulary_of(experiment: Experiment, start: Start) -> Experiment:
    """The experiment with the vocabulary that its start was trained with."""
    workdir = Path(start.run)
    kept = _vocabulary(workdir)
    if kept is None:
        if start.fresh is not None or start.surgery or not leads() or not (workdir / EXPERIMENT).exists():
            return experiment  # what reads tokens may be anew; what is not will not fit; no run is told of later
        raise UserError(
            f"start.run={start.run} keeps no vocabulary in {DATA}, and these data are text; start from a run on text, "
            "or let start.fresh match what reads and writes tokens"
        )
    if any(isinstance(surgery, GrowVocabulary) and surgery.tokens for surgery in start.surgery):
        return experiment  # the user says how its own vocabulary continues the start's
    try:
        document = kept[1]
        if GrowVocabulary() in start.surgery:
            document = grown(document, experiment.data.vocabulary_document())[0]
        return dataclasses.replace(experiment, data=experiment.data.with_vocabulary(document))
    except UserError as error:
        raise UserError(f"start.run={start.run}: {error}; give data the tokens that it was trained on") from None


def _placed(experiment: Experiment) -> Experiment:
    """The experiment whose `GrowVocabulary` knows where the start's tokens stand among its own.

    As it was where the start is there no more: then the run has its weights already.
    """
    start = experiment.start
    if start is None or GrowVocabulary() not in start.surgery or (kept := _vocabulary(Path(start.run))) is None:
        return experiment
    document = experiment.data.vocabulary_document()
    places = grown(kept[1], document)[1]
    before, now = info_of(experiment, Path(start.run)).spec.made.vocabulary, experiment.data.spec().made.vocabulary
    grows = GrowVocabulary(tokens=now - before, places=places, end=before > len(places))  # with an end of documents
    surgery = tuple(grows if one == GrowVocabulary() else one for one in start.surgery)
    return dataclasses.replace(experiment, start=dataclasses.replace(start, surgery=surgery))


def _with_class_places(experiment: Experiment) -> Experiment:
    """The experiment whose `GrowClasses` knows where the start's classes stand among those of its data.

    As it was where the start is there no more: then the run has its weights already.
    """
    start = experiment.start
    if start is None or not any(isinstance(surgery, GrowClasses) for surgery in start.surgery):
        return experiment
    if not (Path(start.run) / DATA).exists():
        return experiment
    was, now = info_of(experiment, Path(start.run)), DataInfo.of(experiment.data)
    classes = Classes(was.spec, was.class_names), Classes(now.spec, now.class_names)
    surgery = tuple(placed(one, *classes) if isinstance(one, GrowClasses) else one for one in start.surgery)
    return dataclasses.replace(experiment, start=dataclasses.replace(start, surgery=surgery))


def keep(folder: RunFolder, experiment: Experiment, info: DataInfo, reads: bool) -> None:
    """Write data.json into the run, until it has a checkpoint; `reads`: it looks at examples, as targets or prompts."""
    if (folder.path / DATA).exists() and reached(folder.path) is not None:
        return
    data = experiment.data
    held: dict[str, Any] = {"name": data.name, "spec": encoded(info.spec, "data")}
    held["class_names"] = dict(info.class_names)
    if reads:
        held |= digests_of(data)
    if isinstance(data, HasVocabulary):
        held |= {"text_sha256": data.text_digest(), "vocabulary": data.vocabulary_document()}
    folder.write(DATA, json.dumps(held, indent=2) + "\n")


def digests_of(data: Data) -> dict[str, Any]:
    """Which examples are in which split, and what they are, as data.json holds it."""
    held: dict[str, Any] = {}
    if isinstance(data, Digested):
        held["splits"] = data.split_digests()
    if isinstance(data, Located):
        held["content_sha256"] = data.content()
    return held


def same_data(experiment: Experiment, workdir: Path) -> bool:
    """Whether the experiment's data are those which the run in `workdir` was begun with, wherever both lie."""
    match read_json(workdir / DATA):
        case {"content_sha256": str(content)}:
            data = chosen_data(experiment)
            return isinstance(data, Located) and data.content() == content
    return False


def _vocabulary(workdir: Path) -> tuple[str, dict[str, Any]] | None:
    """The digest of the text and the vocabulary that a run keeps."""
    match read_json(workdir / DATA):
        case {"text_sha256": str(digest), "vocabulary": dict(document)}:
            return digest, document
        case {"text_sha256": _} | {"vocabulary": _}:
            raise UserError(f"{workdir / DATA} holds no vocabulary as jaxgen writes it; restore it from a copy")
    return None
