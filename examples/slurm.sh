#!/bin/bash
# A suite as a SLURM job array: all tasks write into one results folder on a shared file system.
#
#     export SUITE=mine.toml OUTPUT=/shared/mine GRADRACE_DATA=/shared/data
#     gradrace fetch mnist --data-dir "$GRADRACE_DATA"     # where there is a network, if data are needed
#     job=$(sbatch --parsable --array=1-16 examples/slurm.sh --load mine.py)
#     sbatch --dependency=afterany:$job --cpus-per-task=4 \
#       --wrap "gradrace run $SUITE --output $OUTPUT --load mine.py"
#
# Words after the script are options of `gradrace run`. The second job does what is missing, a task
# having died for good, and writes the report. docs/clusters.md says what happens if tasks die.
#
#SBATCH --job-name=gradrace
#SBATCH --array=1-4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --output=gradrace-%A_%a.log
#SBATCH --open-mode=append
# A node that fails, or a job of higher priority: SLURM starts the task again, and it goes on.
#SBATCH --requeue
# A minute before the time is over, gradrace is told to stop.
#SBATCH --signal=TERM@60

set -u
suite=${SUITE:-optimizers}
output=${OUTPUT:-$PWD/results}
mkdir -p "$output"

# The array may begin at 0 or 1, and count in steps.
step=${SLURM_ARRAY_TASK_STEP:-1}
part=$(((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN) / step + 1))

# Since SLURM 22.05 srun has to be told the cores once more. Each worker has a core of its own; if the
# suite's `threads` are more than one, divide.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  gradrace run "$suite" --shard "$part/$SLURM_ARRAY_TASK_COUNT" --output "$output" \
  --jobs "$SLURM_CPUS_PER_TASK" --no-report --quiet "$@"
code=$?

# 130: it was told to stop. Once more from there, unless no run gets done in the time that there is.
if [ "$code" = 130 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 10 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
