# Sourced by the scripts: where things are, and how they speak.
VMAE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vmae
VMAE_DEFAULT_TORCH=2.15.0
VMAE_TORCH_VERSION=${VMAE_TORCH_VERSION:-$VMAE_DEFAULT_TORCH}  # of those in scripts/dependencies.txt
TORCH_VENV=$VMAE_CACHE/torch-$VMAE_TORCH_VERSION
say() { printf '== %s\n' "$*"; }
