"""Sets larger than memory: read as they come by Grain, in the order and batches that a resident set would have."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.data.examples import Chosen, RandomAccess, decoded
from jaxgen.data.order import EpochOrder
from jaxgen.data.workers import begin_worker, quiet
from jaxgen.environment import cores
from jaxgen.types import Batch, Key, Spec

_THREADS = 16  # at most: each holds a batch
_AHEAD = 4  # batches that are ready, of this process's threads and of each worker process


@dataclass(frozen=True)
class _Batches:
    """Batches `first`, `first` + 1, ... as Grain counts them, each decoded by one thread or process."""

    examples: RandomAccess
    order: EpochOrder
    first: int
    rows: np.ndarray

    def __len__(self) -> int:
        return 2**40  # without end: a run says itself when it has enough

    def __getitem__(self, number: int) -> dict[str, Any]:
        places = self.order.positions(self.first + int(number), self.rows)  # of all rows at once: it takes as long
        return decoded(Chosen(self.examples, places)) | {"row": self.rows.astype(np.int32)}


@dataclass(frozen=True)
class StreamedExamples:
    """Independent examples, decoded as they come by threads, or by `workers` processes where there are any."""

    examples: RandomAccess
    spec: Spec
    batch_size: int
    workers: int = 0

    def init(self, key: Key, moving: Any) -> Key:
        return key

    def stream(self, state: Key, first: int, rows: np.ndarray) -> Iterator[Batch]:
        """Batches `first`, `first` + 1, ... without end, each only at the global row numbers `rows`."""
        import grain

        order = EpochOrder.of(state, self.batch_size, len(self.examples))
        batches = grain.MapDataset.source(_Batches(self.examples, order, first, rows))
        if not self.workers:
            threads = min(cores(), _THREADS)
            reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + _AHEAD)
            return iter(batches.to_iter_dataset(reading))
        _parse_no_flags()
        quiet()
        processes = grain.MultiprocessingOptions(num_workers=self.workers, per_worker_buffer_size=_AHEAD)
        reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)  # within each: batches are large
        return iter(batches.to_iter_dataset(reading).mp_prefetch(processes, begin_worker))


def _parse_no_flags() -> None:
    """Grain asks absl's flags for its processes' settings; a program without flags of its own says that it has none."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
