"""The importance-weighted autoencoder on binarised MNIST: 784-200-200-50 with tanh, 50 samples a picture.

Equation 8 and section 5 of arXiv 1509.00519; its sets, pixels drawn anew in training. The paper trains 3,280 epochs
of 50 samples. Here 400 epochs of one sample come first, which cost as much as twenty of 50, then 20 epochs of 50.

    jaxgen train --config vae/iwae --workdir runs/vae --set task.objective=EvidenceBound steps=240_000 \\
        optimisers.bound.learning_rate.peak=2e-3 every.log=6000 every.evaluate=60_000 every.checkpoint=20_000
    jaxgen train --config configs/vae/iwae.py --workdir runs/iwae --start runs/vae
    jaxgen evaluate --workdir runs/iwae --set task.importance_samples=5000

Two stochastic layers, 784-200-200-100-100-100-50, in both trainings with: `--set "task.encoder.widths=(200,100)"
"task.decoder.widths=(200,100)" "task.decoder.latent=(100,50)"`, and in the first `task.objective.warmup=60_000`.

Expect 86.74 nats of 5,000 samples on the 10,000 test pictures (88.60 of 64 after the first training, 87.71 after the
second) in 27 and 28 minutes on one of two cores of an AMD EPYC beside other work. Two layers: 86.29 after half as many
steps, in 13 and 16 minutes, and 85.98 after 25 more epochs from there, in 81; 86.24 after all steps, in 43 and 36, when
the top layer carried nothing (docs/vae.md). The PyTorch code xqding/Importance_Weighted_Autoencoders reports 84.59 and
83.29 after far more epochs, on another draw of pixels.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.vae.dense import DenseDecoder, DenseEncoder
from jaxgen.families.vae.objectives import ImportanceWeightedBound
from jaxgen.families.vae.task import Vae
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Vae(
            encoder=DenseEncoder(widths=(200,)),
            decoder=DenseDecoder(widths=(200,), latent=(50,)),
            prior=None,
            objective=ImportanceWeightedBound(samples=50),
            importance_samples=64,
        ),
        data=Pictures(name="mnist", batch_size=100, binarise=True, given=False),
        optimisers={"bound": AdamW(learning_rate=Cosine(peak=5e-4, warmup=100), eps=1e-4)},
        averages={"slow": EMA(half_life=100_000)},
        steps=12_000,  # 20 epochs
        steps_per_call=50,
        every=Every(log=400, evaluate=4000, sample=4000, checkpoint=2000),
    )
