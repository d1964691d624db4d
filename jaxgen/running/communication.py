"""What the devices of a mesh send each other in a step, read from the program as XLA has partitioned it."""
# SPDX-License-Identifier: Apache-2.0

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_KINDS = "all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute"
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")  # of a computation
_OPERATION = re.compile(rf"^(?:ROOT )?%?[\w.\-]+ = (.*?) ({'|'.join(_KINDS)})(-start)?\(")
_SHAPE = re.compile(r"\b(pred|[suf]\d+|bf16|f8\w*|c64|c128)\[([\d,]*)\]")
_CALLED = re.compile(r"\b(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")  # {{0,1},{2,3}}
_IOTA = re.compile(r"replica_groups=\[(\d+),(\d+)\]<=")  # [groups,size]<=[devices]
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")  # mesh['a'=2,'b'=4] {'a'}
_EVERY = re.compile(r"replica_groups=\{\}")
_PARTITIONS = re.compile(r"num_partitions=(\d+)")
_PAIRS = re.compile(r"source_target_pairs=\{")


@dataclass(frozen=True)
class Collective:
    """One operation between devices: its results' bytes on each, the devices that take part, how often a step has it.

    A loop whose length XLA does not know, such as that over the steps of a call, counts once.
    """

    kind: str
    bytes: int
    group: int
    times: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends for it in a step, by rings: as few as can be (Patarasuk and Yuan 2009)."""
        others = (self.group - 1) / self.group
        share: Mapping[str, float] = {
            "all-gather": others,
            "all-reduce": 2 * others,
            "reduce-scatter": self.group - 1,
            "all-to-all": others,
            "collective-permute": 1.0,
        }
        return self.times * self.bytes * share[self.kind]


def collectives(text: str) -> list[Collective]:
    """Of a compiled program, by its text; operations of a device with itself alone are left out."""
    computations, entry = _computations(text)
    devices = _PARTITIONS.search(text)
    every = int(devices[1]) if devices else 1
    found: list[Collective] = []

    def walk(name: str, times: int) -> None:
        for line in computations.get(name, ()):
            if (one := _collective(line, times, every)) is not None and one.group > 1:
                found.append(one)
            for called, trips in _calls(line):
                walk(called, times * trips)

    walk(entry, 1)
    return found


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Each computation's lines by its name, and the name of the first to run."""
    found: dict[str, list[str]] = {}
    name = entry = ""
    for line in text.splitlines():
        if (head := _HEAD.match(line)) is not None:
            name = head[2]
            entry = name if head[1] else entry
            found[name] = []
        elif name:
            found[name].append(line.strip())
    return found, entry


def _calls(line: str) -> Iterator[tuple[str, int]]:
    """The computations that an operation runs, and how often. Those that reduce numbers run none with collectives."""
    trips = _TRIPS.search(line)  # of a loop, whose condition is not looked at
    for name in _CALLED.findall(line):
        yield name, int(trips[1]) if trips else 1
    for names in _BRANCHES.findall(line):
        for name in names.split(","):
            yield name.strip().lstrip("%"), 1


def _collective(line: str, times: int, every: int) -> Collective | None:
    operation = _OPERATION.match(line)
    if operation is None:
        return None
    shapes, kind, begun = operation.groups()
    size, group = sum(map(_bytes, _SHAPE.findall(shapes))), _group(line, every)
    if begun and kind == "all-gather":  # its result stands beside its operand
        size = size * group // (group + 1)
    elif begun and kind == "collective-permute":
        size //= 2
    return Collective(kind, size, group, times)


def _bytes(shape: tuple[str, str]) -> int:
    kind, sizes = shape
    bits = 8 if kind == "pred" or kind.startswith("f8") else int(re.sub(r"\D", "", kind))
    return math.prod(int(size) for size in sizes.split(",") if size) * bits // 8


def _group(line: str, every: int) -> int:
    """How many devices take part together, of `every` one that runs the program."""
    if _EVERY.search(line) is not None:
        return every
    if (listed := _LISTED.search(line)) is not None:
        return listed[1].count(",") + 1
    if (iota := _IOTA.search(line)) is not None:
        return int(iota[2])
    if (mesh := _MESH.search(line)) is not None:
        axes = dict(part.split("=") for part in mesh[1].split(","))
        return math.prod(int(axes[name.strip()]) for name in mesh[2].split(","))
    return 2 if _PAIRS.search(line) else 1
