"""The training steps of two models of the package transformers, GPT-2 and BART, made as small as ours, in PyTorch.

The loop is nanoGPT's: rows drawn at random, autocast in bfloat16, clipping, fused AdamW. On all cores, as they are
written and compiled. Tokens are shifted up by one, 0 is padding, as for Flax's examples.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
import transformers
from peers import Sizes
from pytorch import CORES, DEVICE, contestant
from torch.nn import functional as F

from jaxgen.timing.contest import Contestant

Rows = tuple[np.ndarray, ...]
Loss = Callable[..., torch.Tensor]


def gpt2(rows: np.ndarray, vocabulary: int, sizes: Sizes, steps: int, precision: str) -> Iterator[Contestant]:
    """Over rows [N, T + 1] of a text."""
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_positions=sizes.length,
        n_embd=sizes.width,
        n_layer=sizes.blocks,
        n_head=sizes.heads,
        n_inner=sizes.hidden,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
    )

    def loss(model: torch.nn.Module, row: torch.Tensor) -> torch.Tensor:
        return _nats(model(row[:, :-1]).logits, row[:, 1:])

    return _both("GPT-2", lambda: transformers.GPT2LMHeadModel(config), loss, (rows,), sizes, steps, precision)


def bart(
    pairs: tuple[np.ndarray, np.ndarray], vocabulary: int, sizes: Sizes, smoothing: float, steps: int, precision: str
) -> Iterator[Contestant]:
    """Over padded sources [N, S] and targets [N, T + 1], -1 where there is none."""
    side = {"layers": sizes.blocks, "attention_heads": sizes.heads, "ffn_dim": sizes.hidden, "layerdrop": 0.0}
    config = transformers.BartConfig(
        vocab_size=vocabulary + 2,  # padding, and what a sentence begins with
        max_position_embeddings=sizes.length + 1,
        d_model=sizes.width,
        dropout=0.0,
        pad_token_id=0,
        use_cache=False,
        **{f"{coder}_{name}": value for coder in ("encoder", "decoder") for name, value in side.items()},
    )

    def loss(model: torch.nn.Module, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        told = model(input_ids=source, attention_mask=source > 0, decoder_input_ids=target[:, :-1])
        return _nats(told.logits, target[:, 1:], ignore_index=0, label_smoothing=smoothing)

    make = lambda: transformers.BartForConditionalGeneration(config)  # noqa: E731
    return _both("BART", make, loss, tuple(side + 1 for side in pairs), sizes, steps, precision)


def _nats(logits: torch.Tensor, targets: torch.Tensor, **how: float) -> torch.Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **how)


def _both(
    name: str,
    make: Callable[[], torch.nn.Module],
    loss: Loss,
    rows: Rows,
    sizes: Sizes,
    steps: int,
    precision: str,
) -> Iterator[Contestant]:
    for compiled in (False, True):
        told = f"transformers {transformers.__version__}, {name}, {'compiled' if compiled else 'eager'}"
        begin = functools.partial(_begun, make, loss, rows, sizes, precision, compiled)
        yield contestant(told, begin, steps, CORES, compiled, precision)


def _begun(
    make: Callable[[], torch.nn.Module], loss: Loss, rows: Rows, sizes: Sizes, precision: str, compiled: bool
) -> tuple[Callable[[], None], Callable[[], None]]:
    """A step, and itself as the first: it is compared with nothing."""
    torch.manual_seed(0)
    model = make().to(DEVICE).train()
    betas = 0.9, sizes.b2
    optimiser = torch.optim.AdamW(model.parameters(), sizes.rate, betas, weight_decay=sizes.decay, fused=True)
    examples = [torch.from_numpy(side.astype(np.int64)).to(DEVICE) for side in rows]
    called = torch.compile(model) if compiled else model

    def step() -> None:
        picked = torch.randint(len(examples[0]), (sizes.batch,), device=DEVICE)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16"):
            nats = loss(called, *(side[picked] for side in examples))
        nats.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), sizes.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step, step
