"""nanoGPT's training step as its train.py takes it, from a checkout's own model.py, on batches like ours.

In bfloat16 by autocast; on a GPU with its flash attention and its fused optimiser.
"""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import NANOGPT, Sizes, module_of
from pytorch import CORES, DEVICE, contestant

from jaxgen.timing.contest import Contestant


def contestants(
    folder: Path, tokens: np.ndarray, vocabulary: int, sizes: Sizes, steps: int, precision: str
) -> list[Contestant]:
    """nanoGPT as it is and compiled, on all cores."""
    model = module_of(folder / NANOGPT)
    text = torch.from_numpy(tokens.astype(np.int64)).to(DEVICE)
    return [_contestant(model, text, vocabulary, sizes, steps, precision, compiled) for compiled in (False, True)]


def _contestant(model, text, vocabulary, sizes: Sizes, steps: int, precision: str, compiled: bool) -> Contestant:
    def make():
        step = _step(model, text, vocabulary, sizes, precision, compiled)

        def first() -> None:
            step()

        return step, first

    name = f"nanoGPT, PyTorch {torch.__version__}, {'compiled' if compiled else 'eager'}"
    return contestant(name, make, steps, CORES, compiled, precision)


def _step(model: Any, text: torch.Tensor, vocabulary: int, sizes: Sizes, precision: str, compiled: bool):
    """The body of nanoGPT's training loop, its `get_batch` included."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")  # as its train.py: what autocast leaves in float32 may use TF32
    shape = {"n_layer": sizes.blocks, "n_head": sizes.heads, "n_embd": sizes.width, "block_size": sizes.length}
    with contextlib.redirect_stdout(sys.stderr):  # it talks, and stdout is for rows
        plain = model.GPT(model.GPTConfig(vocab_size=vocabulary, dropout=0.0, bias=False, **shape)).to(DEVICE)
        optimiser = plain.configure_optimizers(sizes.decay, sizes.rate, (0.9, sizes.b2), DEVICE)
    gpt, places = torch.compile(plain) if compiled else plain, torch.arange(sizes.length, device=DEVICE)

    def step() -> None:
        rows = torch.randint(len(text) - sizes.length, (sizes.batch, 1), device=DEVICE) + places
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16"):
            _, loss = gpt(text[rows], text[rows + 1])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(gpt.parameters(), sizes.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step
