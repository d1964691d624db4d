"""Sets larger than memory: read as they come by Grain, in the order and batches that a resident set would have."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxgen.data.order import EpochOrder
from jaxgen.types import Key, Spec

_THREADS = 16  # that read and decode ahead in this process, where there are no worker processes
_AHEAD = 4  # batches that each worker process has ready


class RandomAccess(Protocol):
    """Examples by their place; sent to worker processes, so it holds paths and not open files."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class _Rows:
    """Row after row of batch after batch, as Grain counts them: what a run that began at batch `first` reads."""

    examples: RandomAccess
    order: EpochOrder
    first: int
    rows: np.ndarray

    def __len__(self) -> int:
        return 2**40  # without end: a run says itself when it has enough

    def __getitem__(self, place: int) -> dict[str, np.ndarray]:
        batch, row = divmod(int(place), len(self.rows))
        chosen = self.rows[row : row + 1]
        example = self.examples[int(self.order.positions(self.first + batch, chosen)[0])]
        return {**example, "row": np.int32(chosen[0])}


@dataclass(frozen=True)
class StreamedExamples:
    """Independent examples, decoded as they come by threads, or by `workers` processes where there are any."""

    examples: RandomAccess
    spec: Spec
    batch_size: int
    workers: int = 0

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def stream(self, state: Key, first: int, rows: np.ndarray) -> Iterator[Mapping[str, np.ndarray]]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows`."""
        import grain

        order = EpochOrder.of(state, self.batch_size, len(self.examples))
        batches = grain.MapDataset.source(_Rows(self.examples, order, first, rows)).batch(len(rows))
        if not self.workers:
            reading = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD * len(rows))
            return iter(batches.to_iter_dataset(reading))
        _parse_no_flags()
        processes = grain.MultiprocessingOptions(num_workers=self.workers, per_worker_buffer_size=_AHEAD)
        return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1)).mp_prefetch(processes))


def _parse_no_flags() -> None:
    """Grain asks absl's flags for its processes' settings; a program without flags of its own says that it has none."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
