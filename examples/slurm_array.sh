#!/bin/bash
# A million fires as an array of 20 jobs of a Slurm cluster, then one job that puts them together:
#
#   sbatch --parsable examples/slurm_array.sh landscape.tif maps
#   sbatch --dependency=afterok:JOB --wrap "fuelbreak merge maps/shards --out maps"
#
# Give JOB the number that the first line prints. Submit both from the same folder: paths are kept as given.
#SBATCH --job-name=fuelbreak
#SBATCH --array=1-20
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=02:00:00
set -euo pipefail

landscape=$1
out=$2

# Compiled kernels are kept on each machine, not on the disk that all share.
export NUMBA_CACHE_DIR="${TMPDIR:-/tmp}/fuelbreak-kernels"

fuelbreak simulate "$landscape" --fires 1000000 --seed 1 \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --out "$out/shards"
