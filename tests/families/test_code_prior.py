"""A prior over another run's codes: an exact likelihood of codes, samples that follow it, a part that stays frozen."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2
from training import lively

from jaxgen.commands.describe import describe
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.core.layout import check_layout
from jaxgen.core.part import Part, Run
from jaxgen.core.start import Start
from jaxgen.core.task import Discrete, Likelihood, Policy, Reconstructs, Task
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.code_prior import CodePrior
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from jaxgen.families.vae.codebook import Codebook
from jaxgen.families.vae.likelihoods import CategoricalLevels
from jaxgen.families.vae.task import Vae
from jaxgen.families.vae.vq_network import GridDecoder, GridEncoder
from jaxgen.families.vae.vq_task import VqVae
from jaxgen.rewards.functions import ClassProbability
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.running.assembly import assemble
from jaxgen.running.bounded import Sampling, never
from jaxgen.running.command_line import Changes
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.sample_run import samples_of
from jaxgen.running.scoring import Scoring
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.types import NO_PARTS, Framing, Spec, Tokens, Unit
from tests.commands.command import OF_RUNS, ROOT
from tests.commands.test_resume import end_of
from tests.core.test_layout import lowers_for_accelerators
from tests.given import asked, cut, labels_of, pictures, values_of
from tests.rewards.judged import silent
from tests.running.test_rollback import stop_after

KEY = jax.random.key(3)
TINY = pictures((2, 4, 1), levels=2, classes=2)
NETWORKS = {
    "rnn": RecurrentNetwork(width=8, embedding=4, head=6),
    "transformer": Transformer(width=8, blocks=2, heads=2, hidden=12, token_shifts=(1, 2)),
}
VQ = VqVae(
    GridEncoder(width=12, inner=6, grid_blocks=(1,)),
    GridDecoder(width=12, inner=6, grid_blocks=(1,), patch=2, likelihood=CategoricalLevels()),
    Codebook(codes=5, size=3),
)
GRIDS = jnp.asarray(list(itertools.product(range(5), repeat=2)), jnp.int32).reshape(25, 1, 2)


@functools.cache
def tiny(network: str = "rnn", **settings):
    """A prior over 25 grids of codes of 256 pictures in two classes, and its variables with the part's."""
    vq = VQ.sized(TINY)
    part = Part("pictures", "task.pictures.path=runs/vq", vq, TINY)
    task = CodePrior(NETWORKS[network], part, condition_dropout=0.1, **settings).sized(TINY)
    with jax.ensure_compile_time_eval():
        variables, frozen = (lively(jax.jit(one.init)(KEY)) for one in (task, vq))
    return task, variables.replace(parts={"pictures": frozen})


def every_picture(label: int):
    image = np.array(list(itertools.product(range(2), repeat=8)), np.uint8).reshape(256, 2, 4, 1)
    return asked(np.full(256, label, np.int32)) | {"made": {"value": image}}


def of_grids(task, variables, label: int) -> np.ndarray:
    """[25] nats: of each grid of codes."""
    batch = asked(np.full(25, label, np.int32)) | {"made": {"value": GRIDS[..., None]}}
    return np.asarray(jax.jit(task.model.log_prob)(variables, batch, KEY), np.float64)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_is_an_exact_density_of_codes_and_bounds_that_of_pictures(network):
    task, variables = tiny(network)
    assert all(isinstance(task, protocol) for protocol in (Task, Likelihood, Policy, Reconstructs))
    assert isinstance(task.pictures.task, Discrete)
    batch, frozen = every_picture(1), variables.parts["pictures"]
    prior = of_grids(task, variables, 1)
    assert abs(np.exp(prior).sum() - 1) < 1e-5
    nats = jax.jit(task.pictures.task.code_nats)
    pixels = np.stack([nats(frozen, batch, jnp.broadcast_to(grid, (256, 1, 2))) for grid in GRIDS])  # [25, 256]
    exact = np.log(np.exp(prior[:, None] - pixels).sum(axis=0))
    assert abs(np.exp(exact).sum() - 1) < 1e-4
    bound = np.asarray(jax.jit(task.log_prob)(variables, batch, KEY))
    own = np.asarray(task.pictures.task.encode(frozen, batch)).reshape(256, 2) @ [5, 1]
    np.testing.assert_allclose(bound, (prior[:, None] - pixels)[own, np.arange(256)], rtol=1e-4, atol=1e-4)
    assert (bound <= exact + 1e-4).all()
    figures = task.finish(jax.jit(task.evaluate)(variables, batch | {"weight": jnp.ones(256)}, KEY)[0])
    np.testing.assert_allclose(figures["nats_per_example"], -bound.mean(), rtol=1e-5)
    np.testing.assert_allclose(figures["nats_per_code"], -prior[own].mean() / 2, rtol=1e-5)
    loss, _ = jax.jit(dataclasses.replace(task, condition_dropout=0.0).loss)(variables, batch, KEY)
    np.testing.assert_allclose(loss.value, figures["nats_per_code"], rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_codes_drawn_follow_the_prior_and_are_decoded_by_the_part(network):
    task, variables = tiny(network)
    drawn = jax.jit(task.rollout)(variables, asked(np.ones(5000, np.int32)), KEY)
    codes = np.asarray(drawn.actions[:, 1:])  # after the start
    expected = np.exp(of_grids(task, variables, 1)) * 5000
    counts = np.bincount(codes @ [5, 1], minlength=25)
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, 24)
    mean = task.pictures.task.decode(variables.parts["pictures"], codes.reshape(-1, 1, 2))
    np.testing.assert_array_equal(values_of(drawn.example), np.round(mean))
    assert values_of(drawn.example).dtype == np.uint8
    sampled = jax.jit(task.sample)(variables, asked(np.ones(5000, np.int32)), KEY)
    np.testing.assert_array_equal(values_of(sampled), values_of(drawn.example))


def test_more_codes_than_a_pictures_levels_are_drawn_as_they_are():
    """Beyond 256 codes no number is cut to eight bits."""
    vq = dataclasses.replace(VQ, codebook=Codebook(codes=600, size=3)).sized(TINY)
    task = CodePrior(NETWORKS["rnn"], Part("pictures", "task.pictures.path=runs/vq", vq, TINY)).sized(TINY)
    variables = lively(jax.jit(task.init)(KEY)).replace(parts={"pictures": jax.jit(vq.init)(KEY)})
    drawn = jax.jit(task.rollout)(variables, asked(np.ones(200, np.int32)), KEY)
    mean = vq.decode(variables.parts["pictures"], drawn.actions[:, 1:].reshape(-1, 1, 2))
    assert int(drawn.actions[:, 1:].max()) > 256
    np.testing.assert_array_equal(values_of(drawn.example), np.round(mean))


HOW = {
    "steps_per_call": 2,
    "every": Every(log=1, evaluate=100, sample=100, checkpoint=2),
    "evaluate": Evaluated(examples=40),
    "parallel": Parallel(data=1),
}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A small VQ-VAE on the digits that has ended."""
    folder, data = tmp_path_factory.mktemp("first") / "vq", Pictures(batch_size=64)
    task = dataclasses.replace(VQ, codebook=Codebook(codes=16, size=4))
    assert train_run(Experiment(task, data, {"reconstruction": AdamW(3e-3)}, 60, **HOW), folder, lambda: False) == 60
    return folder


def prior_of(run, steps: int = 4) -> Experiment:
    task = CodePrior(NETWORKS["transformer"], Run(str(run)), condition_dropout=0.1)
    return Experiment(task, Pictures(batch_size=16), {"likelihood": AdamW(1e-2)}, steps, **HOW)


@pytest.fixture(scope="module")
def whole(first, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior") / "run"
    assert train_run(prior_of(first), folder, lambda: False) == 4
    return folder


def test_stopped_and_resumed_it_ends_the_same(first, whole, tmp_path):
    assert train_run(prior_of(first), tmp_path / "run", stop_after(0)) < 4
    assert train_run(prior_of(first), tmp_path / "run", lambda: False) == 4
    assert end_of(tmp_path / "run") == end_of(whole)


def test_a_run_is_sampled_scored_and_evaluated_with_the_first_stage_as_it_ended(first, whole):
    there, here = (load_trained(folder, None, silent).variables for folder in (first, whole))
    jax.tree.map(np.testing.assert_array_equal, here.parts["pictures"], there.replace(parts=NO_PARTS))
    figures, stage = evaluate_run(whole), evaluate_run(first)
    assert figures["bound"] == "evidence bound" and 0 < figures["nats_per_code"] < 1.1 * np.log(16)
    same = "distortion_nats_per_example"
    assert figures[same] == pytest.approx(stage[same], rel=1e-4)
    trained = load_trained(whole, None, silent)
    samples = samples_of(trained, Sampling(trained.assembly), ["3", "7"], 2, 0, never)
    assert values_of(samples).shape == (4, 8, 8, 1) and labels_of(samples).tolist() == [3, 7, 3, 7]
    example = {"row": np.zeros(1, np.int32), **cut(samples, slice(0, 1))}
    ((_, told),) = Scoring(trained)([("one", example)])
    expected = trained.assembly.task.log_prob(trained.variables, example, KEY)[0]
    assert told["log_prob_nats"] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.slow
def test_it_is_tuned_toward_a_reward_code_by_code_and_its_part_stays(first, whole, tmp_path):
    tuning = ScoreFunction(ClassProbability(target=3), group=4)
    how = {"start": Start(str(whole)), "rewards": tuning, "optimisers": {"policy": AdamW(1e-2)}}
    assert train_run(dataclasses.replace(prior_of(first, 2), **how), tmp_path / "run", lambda: False) == 2
    here, there = (load_trained(folder, None, silent).variables for folder in (tmp_path / "run", whole))
    jax.tree.map(np.testing.assert_array_equal, here.parts, there.parts)
    heads = (variables.params["head"]["kernel"] for variables in (here, there))
    assert np.abs(np.subtract(*heads)).max() > 1e-3


def of_digits(first) -> tuple[str, ...]:
    return "data.name=digits", "data.flip=false", f"task.pictures.path={first}"


every_config = pytest.mark.parametrize("path", OF_RUNS, ids=lambda path: path.parent.name)


@every_config
def test_a_config_can_be_described_once_there_is_a_first_stage(path, first, capsys):
    docstring, config = path.read_text().split('"""')[1], str(path.relative_to(ROOT))
    assert all(word in docstring for word in (f"jaxgen train --config {config}", "Expect", "cores"))
    assert describe(str(path), Changes(settings=of_digits(first))) == 0
    assert "parameters" in capsys.readouterr().out
    assembly = assemble(set_fields(load_experiment(path, Experiment), of_digits(first)))
    check_layout(assembly.task.layout(), jax.eval_shape(assembly.task.init, KEY).params)


@pytest.mark.slow
@every_config
def test_the_step_and_the_sampler_of_a_config_lower_for_gpus_and_tpus(path, first):
    settings = (*of_digits(first), "parallel.data=1")
    lowers_for_accelerators(assemble(set_fields(load_experiment(path, Experiment), settings)))


def test_what_cannot_be_the_first_stage_is_told_in_a_sentence():
    network = NETWORKS["rnn"]
    with pytest.raises(UserError, match=r"task\.pictures is none; set task\.pictures\.path=RUN"):
        CodePrior(network).sized(TINY)
    with pytest.raises(UserError, match="runs/vae is a Vae, which has no codes; name a run of vae/vq"):
        CodePrior(network, Part("pictures", "task.pictures.path=runs/vae", Vae(), TINY)).sized(TINY)
    part = Part("pictures", "task.pictures.path=runs/vq", VQ.sized(TINY), TINY)
    with pytest.raises(UserError, match=r"runs/vq was trained on .* give both the same data"):
        CodePrior(network, part).sized(pictures((8, 8, 1), levels=2))
    with pytest.raises(UserError, match=r"runs/vq was trained on .* give both the same data"):
        CodePrior(network, part).sized(Spec(Tokens(16, 30)))
    read = Spec(TINY.made, (("prompt", Tokens(3, 7, Unit.WORD, Framing.SOURCE)),))
    with pytest.raises(UserError, match="a CodePrior cannot be conditioned on prompt"):
        CodePrior(network, Part("pictures", "task.pictures.path=runs/vq", VQ.sized(read), read)).sized(read)
    task, variables = tiny()
    with pytest.raises(UserError, match="goes on from no picture"):
        task.sample(variables, every_picture(1), KEY)
