"""PyTorch's networks are ours: from the same weights the same losses, gradients and steps."""
# SPDX-License-Identifier: Apache-2.0

import pytest

torch = pytest.importorskip("torch", reason="pip install 'jaxgen[peers]'")

from random_tokens import RandomPairs, RandomRows  # noqa: E402
from torch_transformers import steps  # noqa: E402
from torch_vae import DenseVae  # noqa: E402
from training import begun  # noqa: E402

from jaxgen.experiment import Experiment  # noqa: E402
from jaxgen.families.language_model import LanguageModel  # noqa: E402
from jaxgen.families.sequence_to_sequence import SequenceToSequence  # noqa: E402
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder  # noqa: E402
from jaxgen.families.transformer.network import Transformer  # noqa: E402
from jaxgen.families.vae.dense import DenseEncoder  # noqa: E402
from jaxgen.nn.precision import Precision  # noqa: E402
from jaxgen.running.assembly import Assembly, assemble  # noqa: E402
from jaxgen.running.starting import Started  # noqa: E402
from jaxgen.timing.timed_run import Training, compile_program  # noqa: E402
from jaxgen.training.optimisers import AdamW  # noqa: E402
from jaxgen.training.parallel import Parallel  # noqa: E402


def decoder(precision: Precision) -> Experiment:
    network = Transformer(width=32, blocks=2, heads=2, hidden=64, precision=precision)
    return experiment(LanguageModel(network), RandomRows(4, 12, 20))


def encoder_decoder(precision: Precision) -> Experiment:
    network = TransformerEncoderDecoder(32, 1, 2, heads=2, hidden=64, dropout=0.0, precision=precision)
    return experiment(SequenceToSequence(network), RandomPairs(4, 24, 30))


def experiment(task, data) -> Experiment:
    adam = AdamW(1e-2, b2=0.95, weight_decay=0.1, clip=0.5)
    return Experiment(task, data, {"likelihood": adam}, steps=10, parallel=Parallel(data=1))


def ours(assembly: Assembly) -> dict:
    return Training(assembly, lambda *what: compile_program(assembly, *what), 1, Started(begun(assembly))).results()


@pytest.mark.parametrize("made", [decoder, encoder_decoder])
def test_losses_gradients_and_later_losses_agree(made):
    """The later ones after steps of clipped AdamW, whose decay leaves tables, norms and biases alone."""
    assembly = assemble(made(Precision.FLOAT32))
    assert steps(assembly, compiled=False, precision="float32").results() == pytest.approx(ours(assembly), rel=2e-5)


@pytest.mark.parametrize("made", [decoder, encoder_decoder])
def test_in_bfloat16_they_agree_as_far_as_it_goes(made):
    assembly = assemble(made(Precision.BFLOAT16))
    theirs = steps(assembly, compiled=False, precision="bfloat16").results()
    assert theirs == pytest.approx(ours(assembly), rel=2e-2)
    whole = steps(assembly, compiled=False, precision="float32").results()
    assert all(theirs[name] != whole[name] for name in whole), "autocast rounds nothing"


def test_the_importance_weighted_bound_of_equal_weights_is_each_of_them():
    """Its samples are alike, so that their mean is one of them: log p(x, z) - log q(z | x) by torch.distributions."""
    torch.manual_seed(0)
    size, latent, samples = 6, 3, 5
    dense = lambda *shape: {"kernel": torch.randn(shape).numpy(), "bias": torch.randn(shape[1]).numpy()}  # noqa: E731
    params = {
        "encoder": {"hidden_0": {"dense_0": dense(size, 4)}, "posterior_0": dense(4, 2 * latent)},
        "decoder": {"hidden_0": {"dense_0": dense(latent, 4)}, "likelihood": dense(4, size)},
    }
    model = DenseVae(params, DenseEncoder())
    ink, noise = torch.bernoulli(torch.full((2, size), 0.5)), torch.randn(2, 1, latent)
    mean, log_std = model.posterior(model.encoder(ink)).chunk(2, dim=-1)
    q, z = torch.distributions.Normal(mean, log_std.exp()), mean + log_std.exp() * noise[:, 0]
    pixels = torch.distributions.Bernoulli(logits=model.likelihood(model.decoder(z)))
    log_joint = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + pixels.log_prob(ink).sum(1)
    expected = q.log_prob(z).sum(1) - log_joint
    assert torch.allclose(model(ink, noise.expand(2, samples, latent)), expected, rtol=1e-4)
