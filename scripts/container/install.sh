#!/bin/sh
# What both images are made of, in a Debian 12, as root: Debian packages, and the wheel with its PyTorch in a Python environment. The recipes beside this file call it.
# usage: install.sh cuda|cpu     beside it: one vmae-*.whl, and scripts/dependencies.txt
#   cuda   all that pip takes for the wheel: PyTorch with the CUDA libraries
#   cpu    PyTorch and the two CUDA libraries that it needs on a CPU too: enough for the program, not for Python's `import torch`
set -eu
device=${1:-}
prefix=${PREFIX:-/opt/vmae}
cd "$(dirname "$0")"
set -- vmae-*.whl
if [ $# -ne 1 ] || [ ! -f "$1" ]; then echo "install.sh: one wheel is needed, of scripts/package wheel; there: $*" >&2; exit 2; fi
torch=${1##*+torch} torch=${torch%%-*}
names() { awk -v group="$1" '$1 == group {print $2}' dependencies.txt; }
case $device in
  cuda) wanted= ;;
  cpu)
    wanted="--no-deps $(names "torch-cpu-$torch")"
    if [ "$wanted" = "--no-deps " ]; then echo "install.sh: scripts/dependencies.txt has no torch-cpu-$torch" >&2; exit 2; fi ;;
  *) echo "install.sh: DEVICE is '$device'; allowed: cuda, cpu" >&2; exit 2 ;;
esac
apt-get update -qq
# shellcheck disable=SC2046,SC2086  # lists
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(names apt-container)
python3 -m venv "$prefix"
# shellcheck disable=SC2086
"$prefix/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check $wanted "./$1"
ln -s "$(echo "$prefix"/lib/python3*/site-packages/vmae/share/vmae/configs)" "$prefix/configs"
"$prefix/bin/vmae" --version
