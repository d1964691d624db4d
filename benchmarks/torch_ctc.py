"""CTC decoding in PyTorch: greedy and prefix beam search over a batch."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

NEVER = -math.inf


def greedy(log_probs: torch.Tensor, blank: int, length: int, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens [B, length], log-probability [B]) of the likeliest path of `log_probs` [B, S, V]."""
    path = log_probs.argmax(dim=-1)
    total = log_probs.gather(-1, path[..., None]).sum(dim=(1, 2))  # max(dim) of both takes 30 times as long
    before = torch.nn.functional.pad(path[:, :-1], (1, 0), value=blank)
    kept = (path != blank) & (path != before)
    place = torch.where(kept, kept.cumsum(dim=1) - 1, length).clamp(max=length)
    tokens = torch.full((len(path), length + 1), pad, dtype=path.dtype)
    return tokens.scatter_(1, place, torch.where(kept, path, pad))[:, :length], total


class Beams(NamedTuple):
    tokens: torch.Tensor  # [B, W, length]
    count: torch.Tensor  # [B, W]
    last: torch.Tensor  # [B, W] blank in an empty string
    begun_by: torch.Tensor  # [B, W, W] whether the first one's string begins with the second one's
    ends_blank: torch.Tensor  # [B, W] nats
    ends_token: torch.Tensor  # [B, W] nats
    score: torch.Tensor  # [B, W] nats


def first(rows: int, width: int, length: int, blank: int, pad: int) -> Beams:
    one = torch.full((rows, width), NEVER)
    one[:, 0] = 0.0
    count = torch.zeros((rows, width), dtype=torch.long)
    tokens = torch.full((rows, width, length), pad)
    begun_by = torch.ones((rows, width, width), dtype=torch.bool)
    return Beams(tokens, count, count + blank, begun_by, one, torch.full((rows, width), NEVER), one.clone())


def advance(beams: Beams, now: torch.Tensor, blank: int) -> Beams:
    """After a frame of log-probabilities `now` [B, V]; the steps of `jaxgen.ops.ctc` one for one."""
    tokens, count, last, begun_by, ends_blank, ends_token, score = beams
    (rows, width, length), size = tokens.shape, now.shape[-1]
    both = torch.logaddexp(ends_blank, ends_token)
    grown = both[..., None] + now[:, None]  # [B, W, V]
    repeat = ends_blank + now.gather(1, last)
    grown.scatter_(2, last[..., None], repeat[..., None])
    grown[..., blank] = NEVER
    grown.masked_fill_((count == length)[..., None], NEVER)
    alive = score > NEVER
    lacks_one = begun_by & (count[..., None] == count[:, None] + 1) & alive[..., None] & alive[:, None]
    has_parent, parent = lacks_one.any(dim=2), lacks_one.int().argmax(dim=2)
    flat = grown.view(rows, -1)
    at = parent * size + last
    joined = flat.gather(1, at).masked_fill(~has_parent, NEVER)
    stays_token = torch.logaddexp(ends_token + now.gather(1, last), joined)
    stays_blank = both + now[:, blank, None]
    own = torch.arange(width) * size + blank  # where a string without a parent may write: never a candidate
    flat.scatter_(1, torch.where(has_parent, at, own), NEVER)
    stays = torch.logaddexp(stays_blank, stays_token)
    score, place = torch.cat([stays, flat], dim=1).topk(width, dim=1)
    extended = place >= width
    parent = torch.where(extended, torch.div(place - width, size, rounding_mode="floor"), place)
    token = torch.where(extended, (place - width) % size, last.gather(1, parent))
    mass = torch.cat([stays_token, flat], dim=1).gather(1, place)
    count = count.gather(1, parent)
    tokens = tokens.gather(1, parent[..., None].expand(-1, -1, length))
    writes = extended[..., None] & (torch.arange(length) == count[..., None])
    tokens = torch.where(writes, token[..., None], tokens)
    count = count + extended
    begun_by = begun_by.gather(1, parent[..., None].expand(-1, -1, width))
    begun_by = begun_by.gather(2, parent[:, None].expand(-1, width, -1))
    at_its_end = tokens.gather(2, (count - 1).clamp(min=0)[:, None].expand(-1, width, -1))
    goes_on = (count[..., None] >= count[:, None]) & (at_its_end == token[:, None])
    begun_by = begun_by & (~extended[:, None] | goes_on)
    ends_blank = stays_blank.gather(1, parent).masked_fill(extended, NEVER)
    return Beams(tokens, count, token, begun_by, ends_blank, mass, score)


def prefix_beam_search(
    log_probs: torch.Tensor, width: int, blank: int, length: int, pad: int, advance: Callable = advance
) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens [B, W, length], log-probability [B, W]) of the W best strings of `log_probs` [B, S, V]."""
    beams = first(len(log_probs), width, length, blank, pad)
    for now in log_probs.unbind(dim=1):
        beams = advance(beams, now, blank)
    return beams.tokens, torch.logaddexp(beams.ends_blank, beams.ends_token)
