"""How much better restorations are than classical ones: PSNR and SSIM on held-out pictures, task by task.

    python benchmarks/restoration.py RUN [--pictures 200] [--restorations 8] [--out TABLE.jsonl]

RUN is a diffusion run on square pictures of 8 bits, whose test split is damaged and restored: noise alone; a missing
box of a quarter of the picture; half of the pixels missing; averages of 2x2 and 4x4 pixels; a Gaussian blur of 1 pixel;
a motion blur of 5 pixels along the rows; an old photograph (averages of 2x2, grey, a fifth missing). Noise of 0.05 of
the range is in all. The classical methods are told the operator and the noise too, and of each family the strength is
chosen that does best on these very pictures; DiffPIR's λ and ζ were chosen on 16 training pictures. PSNR in dB and SSIM
(scikit-image's settings) of levels 0 to 255, means over the pictures: `psnr_db` and `ssim` of the mean of a picture's
restorations, `one_psnr_db` and `one_ssim` of the first alone.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import classical_restoration as classical
import jax
import jax.numpy as jnp
import numpy as np
from skimage.metrics import structural_similarity

from jaxgen.environment import set_up_jax
from jaxgen.families.diffusion.restoration import guided, projected
from jaxgen.families.diffusion.restoration.blur import blur, gaussian_kernel, motion_kernel
from jaxgen.families.diffusion.restoration.operators import Downsample, Identity, Mask, Spectral, old_photo
from jaxgen.families.diffusion.restoration.steps import Measured, Start, first_level, time_travel
from jaxgen.metrics.psnr import psnr_db
from jaxgen.ops.levels import to_unit
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal
from jaxgen.running.trained import Trained, load_trained

SIGMA_Y = 0.1  # of pictures in [-1, 1]: 0.05 of the range
KEY = jax.random.key(16)
OLD = "old photo"


@dataclass(frozen=True)
class Task:
    """A degradation, and the classical ways to undo it."""

    name: str
    operator: Spectral
    ways: dict[str, classical.Way]


@dataclass(frozen=True)
class Solver:
    """A solver and the number of levels that it walks."""

    name: str
    solve: Callable[[Measured, Start], jax.Array]
    steps: int
    visits: int = 1  # of each stretch of five steps

    def sigmas(self, low: float, high: float) -> np.ndarray:
        levels = np.asarray(schedule(self.steps, low, high))
        return levels if self.visits == 1 else time_travel(levels, 5, self.visits)


DIFFPIR = Solver("DiffPIR", projected.diffpir, 25)
DDNM = Solver("DDNM", projected.ddnm, 25)
OTHERS = (  # on box inpainting
    Solver("DDRM", projected.ddrm, 25),
    Solver("RePaint", projected.repaint, 25, visits=4),
    Solver("PiGDM", functools.partial(guided.pigdm, sigma_data=0.5), 25),
    Solver("DPS", functools.partial(guided.dps, scale=1.0), 250),
)


def tasks(side: int) -> Iterator[Task]:
    """The degradations of the table."""
    draw = np.random.default_rng(5)
    box = np.ones((side, side, 1), np.float32)
    box[side // 4 : side * 3 // 4, side // 4 : side * 3 // 4] = 0
    half = (draw.random((side, side, 1)) < 0.5).astype(np.float32)
    kept = (draw.random((side // 2, side // 2, 1)) < 0.8).astype(np.float32)
    enlarged = functools.partial(classical.resized, side, side)
    smooth = {"bicubic": classical.as_it_is} | classical.smoothers(SIGMA_Y)
    yield Task("denoising", Identity(), classical.smoothers(SIGMA_Y))
    yield Task("box inpainting", Mask(jnp.asarray(box)), classical.inpainters(box, SIGMA_Y))
    yield Task("random inpainting", Mask(jnp.asarray(half)), classical.inpainters(half, SIGMA_Y))
    for factor in (2, 4):
        yield Task(f"super-resolution x{factor}", Downsample(factor), classical.then(enlarged, smooth))
    for name, kernel in (("Gaussian", gaussian_kernel(1.0)), ("motion", motion_kernel(5, 0))):
        yield Task(f"{name} deblurring", blur(kernel), classical.deblurrers(kernel))
    fill = classical.inpainters(kept, SIGMA_Y)
    recoloured = classical.then(lambda y: enlarged(classical.coloured(y)), fill)
    yield Task(OLD, old_photo(jnp.asarray(kept), 2), recoloured)


def measures(restored: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    """Means over [N, H, W, C] in [-1, 1]: PSNR in dB and SSIM, of levels 0 to 255."""
    ours, true = (np.rint((np.clip(x, -1, 1) + 1) * 127.5) for x in (restored, clean))
    alike = [structural_similarity(a, b, data_range=255, channel_axis=-1) for a, b in zip(ours, true, strict=True)]
    return float(psnr_db(ours, true, 255).mean()), float(np.mean(alike))


def restorations(solver: Solver, task: Task, y: jax.Array, trained: Trained, count: int) -> np.ndarray:
    """[count, N, H, W, C]: `count` restorations of each of y [N, ...]."""
    game = trained.assembly.task
    sigmas = solver.sigmas(game.sigma_min, first_level(game.sigma_max, game.sigma_data))

    @jax.jit
    def some(variables: Any, y: jax.Array, rows: jax.Array) -> jax.Array:
        start = sigmas[0] * normal(KEY, rows, game.spec.made.shape)
        measured = Measured(game.prior(variables), task.operator, y, SIGMA_Y)
        return solver.solve(measured, Start(start, jnp.asarray(sigmas), KEY, rows))

    rows = jnp.arange(len(y))
    return np.stack([some(trained.variables, y, rows + number * len(y)) for number in range(count)])


def best_of_each_family(task: Task, y: np.ndarray, clean: np.ndarray) -> dict[str, dict[str, float | str]]:
    """Of each classical method its best strength, by PSNR."""
    found: dict[str, dict[str, float | str]] = {}
    for name, way in task.ways.items():
        psnr, ssim = measures(np.stack([way(one) for one in y]), clean)
        family = name.rstrip("0123456789. ")
        if family not in found or psnr > found[family]["psnr_db"]:
            found[family] = {"method": name, "psnr_db": psnr, "ssim": ssim}
    return found


def rows_of(task: Task, clean: jax.Array, trained: Trained, count: int, few: int) -> Iterator[dict[str, Any]]:
    """A row for each method."""
    measured = task.operator.forward(clean)
    y = measured + SIGMA_Y * normal(jax.random.fold_in(KEY, 1), jnp.arange(len(clean)), measured.shape[1:])
    true = np.asarray(clean)
    for row in best_of_each_family(task, np.asarray(y, np.float64), true).values():
        yield {"task": task.name, "pictures": len(true), **row}
    solvers = [(DIFFPIR, len(true), count)] + [(DDNM, len(true), count)] * (task.name != OLD)
    if task.name == "box inpainting":
        solvers += [(solver, few, 1) for solver in (DIFFPIR, *OTHERS)]
    for solver, pictures, each in solvers:
        began = time.perf_counter()
        found = restorations(solver, task, y[:pictures], trained, each)
        one, mean = measures(found[0], true[:pictures]), measures(found.mean(axis=0), true[:pictures])
        evaluations = int((np.diff(np.append(solver.sigmas(1, 2), 0)) < 0).sum())
        row = {"task": task.name, "method": solver.name, "pictures": pictures, "evaluations": evaluations}
        figures = {"one_psnr_db": one[0], "one_ssim": one[1], "restorations": each, "psnr_db": mean[0], "ssim": mean[1]}
        yield row | figures | {"seconds": time.perf_counter() - began}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--few", type=int, default=20, help="pictures of the other solvers (%(default)s)")
    parser.add_argument("--restorations", type=int, default=8)
    parser.add_argument("--tasks", nargs="*", help="names of tasks (all)")
    parser.add_argument("--out", type=Path, help="file to which the rows are added, a JSON object a line")
    options = parser.parse_args(arguments)
    set_up_jax()
    trained = load_trained(options.run, None, print)
    data, image = trained.assembly.experiment.data, trained.assembly.task.spec.made
    clean = to_unit(jnp.asarray(data.first("test", options.pictures)["made"]["value"]), image.levels)
    for task in tasks(image.height):
        if options.tasks and task.name not in options.tasks:
            continue
        for row in rows_of(task, clean, trained, options.restorations, options.few):
            line = json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()})
            print(line, flush=True)
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
