#!/usr/bin/env bash
# Starts vmae under torchrun, which starts all ranks again when one fails. One machine, or one call per machine (docs/cluster.md).
# usage: scripts/torchrun.sh [OPTIONS OF TORCHRUN...] -- COMMAND [ARGUMENTS OF VMAE...]
#   e.g. scripts/torchrun.sh --nproc-per-node 8 --max-restarts 3 -- pretrain --config mr.yaml run.dir=runs/mr
# Several machines: the same call on each, with NNODES=4 RDZV_ENDPOINT=host-of-one-of-them:29400 and, for several jobs at once, RDZV_ID=a-name;
#   under Slurm these are found:  srun --ntasks-per-node=1 scripts/torchrun.sh --nproc-per-node 8 --max-restarts 3 -- pretrain ...
# VMAE: the program (default: build/release/bin/vmae, else the one on PATH). torchrun comes with Python's torch: scripts/setup --test, or your own on PATH, as pip puts it there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TORCH_VENV=
# shellcheck source=scripts/common.sh
if [ -e "$here/common.sh" ]; then source "$here/common.sh"; fi  # not where a package put this script
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
  options+=("$1"); shift
done
if [ $# -lt 2 ]; then echo "torchrun.sh: what shall be run? scripts/torchrun.sh [OPTIONS] -- pretrain --config FILE ... (-h: help)" >&2; exit 2; fi
shift

if [ -z "${VMAE:-}" ]; then VMAE=$here/../build/release/bin/vmae; [ -x "$VMAE" ] || VMAE=vmae; fi
if ! command -v "$VMAE" >/dev/null; then echo "torchrun.sh: there is no $VMAE: put it on PATH (scripts/build, pip install), or set VMAE" >&2; exit 2; fi

if [ -n "$TORCH_VENV" ] && "$TORCH_VENV/bin/python" -c 'import torch.distributed.run' 2>/dev/null; then
  run=("$TORCH_VENV/bin/python" -m torch.distributed.run)
elif command -v torchrun >/dev/null; then
  run=(torchrun)
else
  echo "torchrun.sh: there is no torchrun${TORCH_VENV:+, neither in $TORCH_VENV (scripts/setup --test puts it there) nor} on PATH (it comes with Python's torch)." >&2
  echo "  Without it: vmae COMMAND --nproc-per-node N on one machine, srun or mpirun on several." >&2
  exit 2
fi

if [[ " ${options[*]} " =~ \ --(standalone|nnodes|rdzv|master|node) ]]; then
  meeting=()
elif [ "${NNODES:=${SLURM_STEP_NUM_NODES:-1}}" = 1 ]; then
  meeting=(--standalone)
else
  if [ -z "${RDZV_ENDPOINT:-}" ] && [ -n "${SLURM_STEP_NODELIST:-}" ]; then
    RDZV_ENDPOINT=$(scontrol show hostnames "$SLURM_STEP_NODELIST" | head -n 1):$((15000 + SLURM_JOB_ID % 10000))
  fi
  if [ -z "${RDZV_ENDPOINT:-}" ]; then echo "torchrun.sh: NNODES=$NNODES also needs RDZV_ENDPOINT=host:port of one of the machines" >&2; exit 2; fi
  meeting=(--nnodes "$NNODES" --rdzv-backend c10d --rdzv-endpoint "$RDZV_ENDPOINT" --rdzv-id "${RDZV_ID:-${SLURM_JOB_ID:-vmae}}")
fi
# torchrun passes these on. By default USR1 and USR2 end it at once, and the ranks with it.
signals=(--signals-to-handle "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2")
exec "${run[@]}" "${signals[@]}" "${meeting[@]}" "${options[@]}" --no-python "$VMAE" "$@"
