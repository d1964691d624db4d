"""Characters of Shakespeare's plays: nanoGPT's recipe for CPUs in its sizes and tokens, with what has been found since.

A decoder (arXiv 1706.03762) of 0.8 million parameters with 64 characters in sight: Muon (Jordan et al., 2024), a head
tied to the embeddings (arXiv 1608.05859), SwiGLU (arXiv 2002.05202), QK norm (arXiv 2010.04245), last layers that begin
as zero (arXiv 2203.03466), rotary positions (arXiv 2104.09864), each step seeing the embeddings of the two characters
before it; `experiments/gpt_parts` tells what most of these bring.

    tfds build tiny_shakespeare --file_format=array_record
    jaxgen train --config configs/transformer/tiny_shakespeare.py --workdir runs/shakespeare

Expect 2.26 bits a character (1.56 nats) on the held-out tenth of the text after 86 s of training on two cores of an AMD
EPYC (family 26), 99 s with everything; nanoGPT's own recipe ends at 1.89 nats. `jaxgen bench time_to_loss` compares.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.text import Text
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.decoder_parts import Activation, DecoderParts
from jaxgen.training.optimisers import Muon
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    parts = DecoderParts(activation=Activation.SWIGLU, query_key_norm=True, zero_init=True, tied_head=True)
    network = Transformer(width=128, blocks=4, heads=4, hidden=344, token_shifts=(1, 2), parts=parts)
    rate = Cosine(peak=1e-2, warmup=30)
    return Experiment(
        task=LanguageModel(network=network),
        data=Text(name="tiny_shakespeare", test="validation+test", batch_size=12, length=64),
        optimisers={"likelihood": Muon(learning_rate=rate, momentum=0.9, b2=0.99, weight_decay=0.1, clip=1.0)},
        steps=2_000,  # of 768 characters
        every=Every(log=100, evaluate=2_000, sample=2_000, checkpoint=1_000),
    )
