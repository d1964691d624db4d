"""Emoji from their names: a VAE whose encoder and decoder each read the prompt through a text encoder of its own.

The evidence bound of arXiv 1312.6114 with discretised logistic mixtures (arXiv 1701.05517) for the pixels, on
OpenMoji's drawings (extra `emoji`) and their English names. Split as configs/diffusion/emoji_prompt.py.

    jaxgen train --config configs/vae/emoji.py --workdir runs/vae_emoji
    jaxgen sample --workdir runs/vae_emoji --given "red heart" "waving hand: dark skin tone" --count 9

Not run under prompts. With `--set data.given=false steps=3000 every.evaluate=3000 every.sample=3000` pictures are made
of nothing. Expect 2.29 bits/dim by 16 importance samples on the held-out emoji after 15 minutes of one of two cores of
an AMD EPYC beside other work; `jaxgen edit attribute` then changes skin tones (docs/vae.md).
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.emoji_captions import EmojiCaptions
from jaxgen.data.prompted import PromptedPictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.objectives import EvidenceBound
from jaxgen.families.vae.task import Vae
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    text = TextEncoder(width=64, blocks=1)
    return Experiment(
        task=Vae(
            encoder=Encoder(width=512, blocks=2, dropout=0.1, text=text),
            decoder=Decoder(width=512, blocks=2, dropout=0.1, latent=64, components=2, text=text),
            prior=Prior(layers=6, width=128),
            objective=EvidenceBound(warmup=1000),
            importance_samples=16,
        ),
        data=PromptedPictures(EmojiCaptions(size=32), batch_size=64, shift=1),
        optimisers={"bound": AdamW(learning_rate=Cosine(peak=5e-4, warmup=200), b2=0.99, weight_decay=0.05, clip=1e4)},
        averages={"slow": EMA(half_life=20_000)},
        steps=10_000,
        steps_per_call=20,
        every=Every(log=200, evaluate=5_000, sample=5_000, checkpoint=1_000),
        evaluate=Evaluated(examples=256),
    )
