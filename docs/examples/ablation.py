"""Does a wider RNN need fewer bits for Python's documentation, and is ten times the learning rate better?"""

from jaxgen.ablation import Ablation, Metric, Steps
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment


def ablation() -> Ablation:
    base = set_fields(
        load_experiment("rnn/python_docs", Experiment),
        ["data.batch_size=16", "data.length=64", "evaluate.examples=64", "every.log=20", "every.evaluate=50"],
    )
    axes = {
        "task.network.width": (32, 64),
        "optimisers.likelihood.learning_rate.peak": (1e-3, 1e-2),
        "seed": range(3),
    }
    return Ablation(base, axes, metrics=(Metric("bits_per_character"),), budget=Steps(200))
