"""A SLURM array with a job for each run of an ablation."""
# SPDX-License-Identifier: Apache-2.0

import shlex
from collections.abc import Sequence


def array_of(config: str, workdir: str, groups: Sequence[Sequence[str]]) -> str:
    """The text of a batch script, a job for each group of members; its user adds time, partition and GPUs."""
    words = " ".join(shlex.quote(shlex.join(names)) for names in groups)
    command = shlex.join(["jaxgen", "ablate", "--config", config, "--workdir", workdir, "--member"])
    return f"""#!/usr/bin/env bash
#SBATCH --job-name=ablation
#SBATCH --array=0-{len(groups) - 1}
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --signal=TERM@120

MEMBERS=({words})
# srun: SLURM tells the steps of a job that its time is up, not this script
eval srun {shlex.quote(command)} "${{MEMBERS[$SLURM_ARRAY_TASK_ID]}}"
code=$?
if [ "$code" -eq 143 ]; then # stopped before its last step, and saved: SLURM runs the job again, which goes on
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""
