"""The operations of a Transformer's step are those of the formula that everybody's share of a peak counts by."""
# SPDX-License-Identifier: Apache-2.0

import pytest
from model_flops import step_flops

from jaxgen.data.text import Text
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.remat import Remat
from jaxgen.training.optimisers import AdamW


@pytest.mark.parametrize("remat", [Remat.NONE, Remat.FULL])
@pytest.mark.parametrize("scan", [False, True])
def test_a_transformer_counts_six_operations_a_parameter_and_causal_attention_once(remat, scan):
    """Appendix B of arXiv 2204.02311: 6 N + 6 L D T a token, half of the full attention; with remat no more."""
    rows, length, width, blocks = 4, 64, 32, 2
    network = Transformer(width, blocks, 4, hidden=4 * width, remat=remat, scan=scan)
    data = Text(batch_size=rows, length=length)
    experiment = Experiment(LanguageModel(network), data, {"likelihood": AdamW(1e-3)}, steps=10)
    weights = 12 * blocks * width**2 + width * data.spec().made.vocabulary
    assert step_flops(experiment) == (6 * weights + 6 * blocks * width * length) * rows * length
