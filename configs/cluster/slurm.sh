#!/usr/bin/env bash
# One run on two nodes under SLURM: sbatch configs/cluster/slurm.sh CONFIG RUN [more of jaxgen train's words]
# SPDX-License-Identifier: Apache-2.0
#
# Submit it from a checkout whose .venv `make install` has made, on a disk that all nodes share; RUN lies there too.
# JAX gives each task one GPU: as many tasks a node as it has GPUs. On nodes without GPUs ask for one task each and
# leave --gpus-per-node out. The tasks find each other by SLURM's own variables.
#
#SBATCH --job-name=jaxgen
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
set -uo pipefail

config=${1:?give the experiment file, such as configs/gan/digits.py}
run=${2:?give the folder of the run}
shift 2

# every task saves and ends by itself, within a minute where another has died: none is killed for what another did
srun --kill-on-bad-exit=0 .venv/bin/jaxgen train --config "$config" --workdir "$run" "$@"
code=$?
if [ "$code" -eq 143 ]; then # stopped before its last step, and saved: SLURM runs this file again, which goes on
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
