"""Which recurrence learns most of equal tokens, through rows of 64 to 2,048 of them, and what does each cost?

jaxgen ablate --config experiments/recurrence/run.py --workdir runs/recurrence
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.ablation import Ablation, Elements, Metric
from jaxgen.data.text import Text
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import Cell, RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine

TOKENS, STEP = 1_024_000, 2_048  # in all, and in each of 500 steps; an RNN's state goes on from row to row
NETWORKS = {  # of 0.8 to 0.9 million parameters
    "lstm": RecurrentNetwork(cell=Cell.LSTM, width=240, layers=2, embedding=128, residual=True),
    "gru": RecurrentNetwork(cell=Cell.GRU, width=280, layers=2, embedding=128, residual=True),
    "min-gru": RecurrentNetwork(cell=Cell.MIN_GRU, width=560, layers=2, embedding=128, residual=True),
    "rg-lru": RecurrentNetwork(cell=Cell.RG_LRU, width=448, layers=2, embedding=128, residual=True),
    "transformer": Transformer(width=128, blocks=4, heads=4, hidden=512),
}
RATES = {"transformer": 2e-3}  # of the others 4e-3, as in rnn/python_docs


def ablation() -> Ablation:
    rows: dict = {str(n): (f"data.length={n}", f"data.batch_size={STEP // n}") for n in (64, 512, 2_048)}
    # not the Transformer, whose attention makes a step of 2.2 s there: an hour for three seeds
    rows["2048"] = {name: rows["2048"] for name in NETWORKS if name != "transformer"}
    return Ablation(
        {name: base(name) for name in NETWORKS},
        axes={"length": rows, "seed": range(3)},
        metrics=(Metric("bits_per_character"), Metric("train_seconds")),
        budget=Elements(TOKENS),
    )


def base(name: str) -> Experiment:
    rate = Cosine(peak=RATES.get(name, 4e-3), warmup=50)
    return Experiment(
        task=LanguageModel(network=NETWORKS[name]),
        data=Text(name="python-docs"),
        optimisers={"likelihood": AdamW(learning_rate=rate, b2=0.99, weight_decay=0.1, clip=1.0)},
        steps=500,
        steps_per_call=20,
        every=Every(log=100, evaluate=500, sample=500, checkpoint=500),
    )
