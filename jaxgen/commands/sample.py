"""`jaxgen sample`: fresh examples from a run."""
# SPDX-License-Identifier: Apache-2.0

import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.atomic_write import write_whole
from jaxgen.errors import UserError
from jaxgen.reporting.samples import render
from jaxgen.reporting.terminal import say
from jaxgen.running.requests import parse_given
from jaxgen.running.trained import load_trained
from jaxgen.training.evaluation import make_sampler


def sample(
    workdir: str,
    config: str | None,
    settings: Sequence[str],
    which: str | None,
    given: Sequence[str],
    count: int,
    out: str | None,
    seed: int,
) -> int:
    """Pictures go into one PNG (RUN/samples/sample.png unless --out says where), texts to stdout or --out."""
    if count < 1:
        raise UserError(f"--count is {count}; give at least 1")
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed is {seed}; give a number from 0 to {2**32 - 1}")
    trained = load_trained(Path(workdir), config, say, settings, which)
    assembly = trained.assembly
    request = parse_given(list(given), assembly, count)
    samples = jax.device_get(make_sampler(assembly.sample, count)(trained.variables, request, jax.random.key(seed)))
    decode = None if assembly.spec.image else assembly.experiment.data.decode
    suffix, content = render(samples, assembly.spec, decode)
    if out is None and suffix == "txt":
        sys.stdout.write(content.decode() + "\n")
        return 0
    path = Path(out) if out is not None else trained.folder / "samples" / f"sample.{suffix}"
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); give another --out") from None
    print(path)
    return 0
