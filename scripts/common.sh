# Sourced by the scripts: where things are, and how they speak.
VMAE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vmae
TORCH_VENV=$VMAE_CACHE/torch-2.15.0
say() { printf '== %s\n' "$*"; }
