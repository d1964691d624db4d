"""Held-out digits, damaged and restored by the diffusion run that the demo trains; a section of its page."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.atomic_write import write_whole
from jaxgen.families.diffusion.restoration.blur import blur, gaussian_kernel
from jaxgen.families.diffusion.restoration.operators import Identity, Mask, Spectral
from jaxgen.families.diffusion.restoration.projected import diffpir, posterior
from jaxgen.families.diffusion.restoration.steps import Measured, Start, first_level
from jaxgen.metrics.features import load
from jaxgen.metrics.psnr import psnr_db
from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal
from jaxgen.reporting.grids import image_grid, levels_to_pixels
from jaxgen.reporting.terminal import say
from jaxgen.reporting.trial import Trial
from jaxgen.running.trained import load_trained

DIGITS, SHOWN, RESTORATIONS, STEPS = 200, 10, 4, 25
SHEET, FIGURES = "restored.png", "restored.json"
LOWER_HALF = np.repeat([1.0, 0.0], 4)[:, None, None] * np.ones((8, 8, 1))
DAMAGES: dict[str, tuple[Spectral, float]] = {  # what happens to a picture in [-1, 1], and the noise added to it
    "noise of a quarter of the range": (Identity(), 0.5),
    "the lower half missing": (Mask(jnp.asarray(LOWER_HALF, jnp.float32)), 0.05),
    "a blur of one pixel, some noise": (blur(gaussian_kernel(1.0)), 0.1),
}


def restore_digits(run: Path) -> None:
    """Writes what was damaged and restored, and how well, into the run's folder."""
    trained, net = load_trained(run, None, say), load("digits")
    held_out = trained.assembly.experiment.data.first("test", DIGITS)
    true, classes = held_out["made"]["value"], held_out["given"]["class"]["value"]
    clean, levels = to_unit(jnp.asarray(true), trained.assembly.task.levels), trained.assembly.task.levels
    shown, rows = [true[:SHOWN]], []
    for number, (name, (operator, sigma_y)) in enumerate(DAMAGES.items()):
        key = jax.random.fold_in(jax.random.key(0), number)
        y = operator.forward(clean)
        y = y + sigma_y * normal(key, jnp.arange(len(y)), y.shape[1:])
        found = restored(trained, Measured(None, operator, y, sigma_y), key)
        pictures = [np.asarray(to_levels(x, levels)) for x in (y, found)]
        shown += [part[:SHOWN] for part in pictures]
        seen = [float(np.mean(net.probabilities(x).argmax(axis=1) == classes)) for x in pictures]
        near = [f"{psnr_db(np.clip(x, -1, 1), clean, 2).mean():.1f} dB" for x in (y, found)]
        rows.append([name, *near, *(f"{100 * part:.1f} %" for part in seen)])
    write_whole(run / SHEET, image_grid(levels_to_pixels(np.concatenate(shown), levels), SHOWN, 6))
    write_whole(run / FIGURES, json.dumps(rows, indent=2) + "\n")
    say("\n".join(": ".join((name, ", ".join(cells))) for name, *cells in rows))


def restored(trained, measured: Measured, key: jax.Array) -> jax.Array:
    """[N, H, W, C]: the mean of the restorations of each measured picture."""
    task = trained.assembly.task
    is_denoising = isinstance(measured.operator, Identity)
    top = measured.sigma_y if is_denoising else first_level(task.sigma_max, task.sigma_data)
    sigmas = schedule(STEPS, min(task.sigma_min, top / 2), top)
    solve: Callable = posterior if is_denoising else diffpir

    @jax.jit
    def one(variables, y: jax.Array, rows: jax.Array) -> jax.Array:
        start = y if is_denoising else top * normal(key, rows, task.spec.made.shape)
        return solve(measured._replace(denoise=task.prior(variables), y=y), Start(start, sigmas, key, rows))

    rows = jnp.arange(len(measured.y))
    return sum(one(trained.variables, measured.y, rows + n * len(rows)) for n in range(RESTORATIONS)) / RESTORATIONS


def trial(run: Path) -> Trial:
    """The section of the page."""
    rows = json.loads((run / FIGURES).read_text(encoding="utf-8"))
    told = (
        f"{DIGITS} held-out digits were damaged in three ways and restored by the {run.name} run, which is told the "
        f"damage's kind and its noise: the mean of {RESTORATIONS} restorations of {STEPS} evaluations each."
    )
    columns = ("damage", "PSNR, damaged", "PSNR, restored", "recognised, damaged", "recognised, restored")
    caption = "Rows: held out; then damaged and restored, for each damage of the table"
    return Trial("Damaged digits, restored", told, columns, rows, (run / SHEET).read_bytes(), caption)
