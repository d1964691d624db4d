"""A SLURM array with a job for each member of an ablation."""
# SPDX-License-Identifier: Apache-2.0

import shlex
from collections.abc import Sequence


def array_of(config: str, workdir: str, names: Sequence[str]) -> str:
    """The text of a batch script; whoever submits it adds what their cluster wants (time, partition, GPUs)."""
    words = " ".join(map(shlex.quote, names))
    command = shlex.join(["jaxgen", "ablate", "--config", config, "--workdir", workdir, "--member"])
    return f"""#!/usr/bin/env bash
#SBATCH --job-name=ablation
#SBATCH --array=0-{len(names) - 1}
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --signal=TERM@120

# A job that is ended before it is done goes on from its last checkpoint when it is started again.
MEMBERS=({words})
exec {command} "${{MEMBERS[$SLURM_ARRAY_TASK_ID]}}"
"""
