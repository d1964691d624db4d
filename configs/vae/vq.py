"""A vector-quantised VAE on CIFAR-10: 32x32 pixels to a grid of 8x8 codes of 512, and back. The first of two stages.

arXiv 1711.00937 with the codebook learned as averages (its appendix A.1); codes that are hardly used are restarted.
What draws codes, a prior learned under the class, is the second stage: `configs/transformer/vq_prior.py`.

    tfds build cifar10 --file_format=array_record
    jaxgen train --config configs/vae/vq.py --workdir runs/vq
    jaxgen evaluate --workdir runs/vq

`reconstruction_psnr_db` says what the codes keep, `codes_used` and `code_perplexity` how many of them are in use. Of
`--set data.name=mnist` the grid is 7x7; emoji want one of 16x16 (docs/vae.md: 27.7 dB).

Expect 24.4 dB and all 512 codes in use, as evenly as 493 would be, after 32 minutes on one of two cores of an AMD EPYC
beside other work (JPEG pictures, 2,000 of the test).
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.vae.codebook import Codebook
from jaxgen.families.vae.vq_network import GridDecoder, GridEncoder
from jaxgen.families.vae.vq_task import VqVae
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=VqVae(
            encoder=GridEncoder(width=64, inner=32, grid_blocks=(2, 2)),
            decoder=GridDecoder(width=64, inner=32, grid_blocks=(2, 2), patch=2),
            codebook=Codebook(codes=512, size=16),
        ),
        data=Pictures(name="cifar10", batch_size=64, flip=True),
        optimisers={"reconstruction": AdamW(learning_rate=Cosine(peak=1e-3, warmup=100), b2=0.99, weight_decay=0.01)},
        steps=5_000,
        steps_per_call=20,
        every=Every(log=100, evaluate=2_500, sample=5_000, checkpoint=500),
        evaluate=Evaluated(examples=2_000),
    )
