"""A prefix beam search of CTC in plain Python, as tutorials have it: strings and their odds in dictionaries."""
# SPDX-License-Identifier: Apache-2.0

import math

NEVER = -math.inf


def with_dictionaries(log_probs: list[list[float]], width: int, blank: int) -> list[tuple[tuple[int, ...], float]]:
    """The W best strings of one row [S][V] and their nats, in plain Python as in arXiv 1408.2873's algorithm 1."""
    beam = {(): (0.0, NEVER)}
    for now in log_probs:
        grown: dict[tuple[int, ...], list[float]] = {}
        for string, (ends_blank, ends_token) in beam.items():
            both = _added(ends_blank, ends_token)
            entry = grown.setdefault(string, [NEVER, NEVER])
            entry[0] = _added(entry[0], both + now[blank])
            if string:
                entry[1] = _added(entry[1], ends_token + now[string[-1]])
            for token, nats in enumerate(now):
                if token != blank:
                    entry = grown.setdefault((*string, token), [NEVER, NEVER])
                    base = ends_blank if string and string[-1] == token else both
                    entry[1] = _added(entry[1], base + nats)
        ranked = sorted(grown.items(), key=lambda one: -_added(*one[1]))
        beam = {string: (masses[0], masses[1]) for string, masses in ranked[:width]}
    return [(string, _added(*masses)) for string, masses in beam.items()]


def _added(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))
