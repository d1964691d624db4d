"""What a traced program costs, read off its jaxpr without compiling it: floating-point operations and memory.

JAX's own `Lowered.cost_analysis()` agrees within 0.5 % where there is no loop, but counts a loop's body once: of a
step of configs/rnn/digits.py it tells 2.04 of 3.11 GFLOP, of the transformer's with `scan` 1.09 of 3.19. It tells
neither memory nor which products are of bfloat16, and takes 0.7 to 1.6 s with the lowering, this 0.03 to 0.14 s.
`Compiled.memory_analysis()` is exact and is used wherever a program is compiled anyway (running/compiled.py); compiling
the digits' steps takes 9 to 25 s, too long for `describe`. The temporary memory that XLA plans for them is 0.9 to 2.2
times what is told here. (jax 0.10.2, two CPU cores.)
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Iterator, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

# What moves, names or compares numbers and computes none: no floating-point operations.
_MOVING = (
    "broadcast_in_dim reshape squeeze expand_dims transpose rev concatenate pad slice split dynamic_slice "
    "dynamic_update_slice gather iota convert_element_type bitcast_convert_type copy copy_p stop_gradient "
    "sharding_constraint optimization_barrier random_bits random_wrap random_unwrap random_fold_in random_split "
    "random_seed threefry2x32 select_n eq ne lt le gt ge and or xor not shift_left shift_right_logical sign is_finite "
    "argmax argmin"
)
# Reads its arguments element by element: XLA joins it with what reads its result, which is then never kept.
_ELEMENTWISE = (
    "broadcast_in_dim reshape squeeze expand_dims slice pad rev transpose iota convert_element_type copy copy_p "
    "bitcast_convert_type stop_gradient select_n add add_any sub mul div rem neg abs sign max min clamp pow "
    "integer_pow sqrt rsqrt cbrt square exp exp2 expm1 log log1p tanh logistic erf erfc erf_inv sin cos tan floor ceil "
    "round nextafter eq ne lt le gt ge and or xor not is_finite shift_left shift_right_logical shift_right_arithmetic "
    "reduce_sum reduce_max reduce_min reduce_and reduce_or random_bits random_wrap random_unwrap threefry2x32"
)
_NO_FLOPS, _FUSED = frozenset(_MOVING.split()), frozenset(_ELEMENTWISE.split())
_LOOPS = ("scan", "while")


class Costs:
    """The costs of jaxprs; of one that occurs many times, as a network's equal blocks do, they are found once."""

    def __init__(self):
        # by identity, the jaxpr kept so that no other takes its id; of all operations, and of products of halves alone
        self._flops: dict[tuple[int, bool], tuple[Jaxpr, float]] = {}
        self._fused: dict[int, tuple[Jaxpr, bool]] = {}

    def flops(self, jaxpr: Jaxpr, halves: bool = False) -> float:
        """Floating-point operations: two a multiply-add of a product or convolution, one an element of all else.

        A scan counts as often as it runs, a `while` whose end depends on its data once, a `cond` as its dearest branch.
        With `halves` those of products of two-byte numbers alone, which accelerators have faster units for.
        """
        key = id(jaxpr), halves
        if key not in self._flops:
            self._flops[key] = jaxpr, sum(self._flops_of(eqn, halves) for eqn in jaxpr.eqns)
        return self._flops[key][1]

    def _flops_of(self, eqn: JaxprEqn, halves: bool) -> float:
        name = eqn.primitive.name
        inner = list(inner_jaxprs(eqn))
        if inner:
            each = [self.flops(jaxpr, halves) for jaxpr in inner]
            if name == "cond":
                return max(each)
            return sum(each) * (eqn.params["length"] if name == "scan" else 1)
        if halves and not _multiplies_halves(eqn):
            return 0.0
        if name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            return 2.0 * _size(eqn.outvars[0]) * math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
        if name == "conv_general_dilated":
            kernel = eqn.params["dimension_numbers"].rhs_spec  # out features, in features, window
            shape = eqn.invars[1].aval.shape
            return 2.0 * _size(eqn.outvars[0]) * math.prod(shape) / shape[kernel[0]]
        if name in _NO_FLOPS:
            return 0.0
        reads = name.startswith(("reduce", "cum", "scatter", "sort"))
        return float(max(map(_size, eqn.invars if reads else eqn.outvars), default=0))

    def peak_bytes(self, jaxpr: Jaxpr, in_place: Sequence[bool]) -> int:
        """The most bytes that the program holds at one time beside its arguments.

        Results that `in_place` marks are written over an argument and count nothing. Operations run in the order they
        are written in, each array is freed after its last reader, and what XLA fuses with its one reader is not kept.
        """
        readers, last = _readers(jaxpr)
        free = {var for var, over in zip(jaxpr.outvars, in_place, strict=True) if over and isinstance(var, Var)}
        sizes: dict[Var, int] = {}
        live = high = 0
        for number, eqn in enumerate(jaxpr.eqns):
            inside = self._peak_inside(eqn, [var in free for var in eqn.outvars])
            for var in eqn.outvars:
                kept = var not in free and not (self._is_fused(eqn) and len(readers.get(var, ())) <= 1)
                sizes[var] = _bytes(var) if kept else 0
            made = sum(sizes[var] for var in eqn.outvars)
            high = max(high, live + max(made, inside))
            live += made
            dead = [var for var in last.get(number, ()) if var in sizes]
            live -= sum(sizes.pop(var) for var in dead)
            live -= sum(sizes.pop(var) for var in eqn.outvars if var in sizes and not readers.get(var))
        return high

    def _peak_inside(self, eqn: JaxprEqn, in_place: list[bool]) -> int:
        """The peak of what an operation runs within, its results among it; what a loop carries is written in place."""
        inner = list(inner_jaxprs(eqn))
        if not inner or self._is_fused(eqn):
            return 0
        if eqn.primitive.name in _LOOPS:
            body = inner[-1]  # of a while, after its condition
            carried = eqn.params.get("num_carry", len(eqn.outvars))
            over = [number < carried for number in range(len(body.outvars))]
            kept = sum(_bytes(var) for var, free in zip(eqn.outvars, in_place, strict=True) if not free)
            return kept + self.peak_bytes(body, over)
        same = all(len(jaxpr.outvars) == len(in_place) for jaxpr in inner)
        return max(self.peak_bytes(jaxpr, in_place if same else [False] * len(jaxpr.outvars)) for jaxpr in inner)

    def _is_fused(self, eqn: JaxprEqn) -> bool:
        """Whether XLA joins this with its reader: an elementwise operation, or a call of nothing else."""
        inner = list(inner_jaxprs(eqn))
        if not inner:
            return eqn.primitive.name in _FUSED
        return eqn.primitive.name in ("jit", "pjit") and all(map(self._all_fused, inner))

    def _all_fused(self, jaxpr: Jaxpr) -> bool:
        if id(jaxpr) not in self._fused:
            self._fused[id(jaxpr)] = jaxpr, all(map(self._is_fused, jaxpr.eqns))
        return self._fused[id(jaxpr)][1]


def _multiplies_halves(eqn: JaxprEqn) -> bool:
    product = eqn.primitive.name in ("dot_general", "conv_general_dilated")
    return product and all(var.aval.dtype.itemsize == 2 for var in eqn.invars)


def _readers(jaxpr: Jaxpr) -> tuple[dict[Var, set[int]], dict[int, list[Var]]]:
    """Which operations read each variable, by their numbers (the end reads the results); and what each reads last."""
    readers: dict[Var, set[int]] = {}
    for number, eqn in enumerate(jaxpr.eqns):
        for var in eqn.invars:
            if not isinstance(var, Literal):
                readers.setdefault(var, set()).add(number)
    for var in jaxpr.outvars:
        if not isinstance(var, Literal):
            readers.setdefault(var, set()).update((len(jaxpr.eqns), len(jaxpr.eqns) + 1))  # kept for good
    last: dict[int, list[Var]] = {}
    for var, numbers in readers.items():
        last.setdefault(max(numbers), []).append(var)
    return readers, last


def inner_jaxprs(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The jaxprs that an operation runs; of a custom derivative its function alone, which is what runs here."""
    for value in eqn.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _size(var: Any) -> int:
    return math.prod(getattr(var.aval, "shape", ()))


def _bytes(var: Any) -> int:
    return _size(var) * var.aval.dtype.itemsize if hasattr(var.aval, "dtype") else 0
