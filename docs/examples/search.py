"""Which learning rate, width and dropout make an RNN need the fewest bits for Python's documentation?"""

from jaxgen.ablation import Metric, Steps
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.search_space import Pruner, Range, Search


def search() -> Search:
    base = set_fields(
        load_experiment("rnn/python_docs", Experiment),
        ["data.batch_size=16", "data.length=64", "evaluate.examples=64", "every.log=20", "every.evaluate=50"],
    )
    space = {
        "optimisers.likelihood.learning_rate.peak": Range(1e-4, 1e-1, log=True),
        "task.network.width": (32, 64, 128),
        "task.network.dropout": Range(0.0, 0.4),
    }
    return Search(base, space, Metric("bits_per_character"), trials=20, budget=Steps(200), pruner=Pruner.MEDIAN)
