"""Networks of impossible sizes are refused when they are made, each in one sentence."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.errors import UserError
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.unet import UNet
from jaxgen.families.gan.clip_network import ClipGenerator
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.network import Transformer
from jaxgen.families.vae.dense import DenseEncoder
from jaxgen.families.vae.network import Decoder, Encoder, Prior

RECURRENT, ATTENDING = (RecurrentNetwork, RecurrentEncoderDecoder), (Transformer, TransformerEncoderDecoder)
NETWORKS = (*RECURRENT, *ATTENDING, DiffusionTransformer, Generator, Discriminator, Encoder, Decoder, Prior)
DROPPING = (*RECURRENT, *ATTENDING, DiffusionTransformer, Encoder, Decoder)


@pytest.mark.parametrize("width", [0, -4])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_width_below_one(network, width):
    with pytest.raises(UserError, match=rf"width is {width}"):
        network(width=width)


@pytest.mark.parametrize("rate", [-0.5, 1.0, 3.0, float("nan")])
@pytest.mark.parametrize("network", DROPPING)
def test_a_dropout_that_is_no_rate(network, rate):
    with pytest.raises(UserError, match="give a rate from 0 up to, not including, 1"):
        network(dropout=rate)


@pytest.mark.parametrize("network", [Transformer, DiffusionTransformer])
def test_a_rank_below_none(network):
    with pytest.raises(UserError, match="low_rank is -1; give at least 0"):
        network(low_rank=-1)


@pytest.mark.parametrize("network", [Generator, Discriminator, Encoder, Decoder, DiffusionTransformer, *ATTENDING])
def test_fewer_blocks_than_none(network):
    with pytest.raises(UserError, match="blocks is -1; give at least 0"):
        network(blocks=-1)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Generator(latent=0), "generator.latent is 0; give at least 1"),
        (lambda: Generator(channels=(64, 0)), r"channels is \(64, 0\); give at least 1"),
        (lambda: Generator(patch=0), "patch is 0"),
        (lambda: Discriminator(features=0), "features is 0"),
        (lambda: ClipGenerator(motion=0), "motion is 0"),
        (lambda: DenseEncoder(widths=(200, 0)), r"widths is \(200, 0\)"),
        (lambda: UNet(widths=(1, 0)), r"widths is \(1, 0\)"),
    ],
)
def test_a_part_of_size_zero(make, match):
    with pytest.raises(UserError, match=match):
        make()


def test_fewer_layers_than_none():
    for made in (lambda: RecurrentNetwork(layers=-1), lambda: Prior(layers=-1)):
        with pytest.raises(UserError, match="layers is -1; give at least 0"):
            made()
