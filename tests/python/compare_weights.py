# SPDX-License-Identifier: Apache-2.0
"""compare_weights.py A B: exit status 0 if two weight files (.safetensors or .pth) hold the same keys, dtypes and bit-identical values.

Keys that start with optimizer. or state. are left out: they belong to a checkpoint, not to the weights.
"""
import argparse
import sys

import torch
from safetensors import safe_open


def load(path):
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with torch.serialization.safe_globals([argparse.Namespace]):  # the reference's checkpoints hold their command line
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        tensors = tensors["model"] if isinstance(tensors.get("model"), dict) else tensors
    else:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    return {key: value for key, value in tensors.items() if torch.is_tensor(value) and not key.startswith(("optimizer.", "state."))}


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def first_difference(a, b):
    for key in sorted(a.keys() | b.keys()):
        if key not in b:
            return f"{key}: only in the first file"
        if key not in a:
            return f"{key}: only in the second file"
    for key in a:
        x, y = a[key], b[key]
        if (x.dtype, x.shape) != (y.dtype, y.shape):
            return f"{key}: {x.dtype} {tuple(x.shape)} and {y.dtype} {tuple(y.shape)}"
        if not torch.equal(bits(x), bits(y)):
            worst = (x.double() - y.double()).abs().max().item()
            return f"{key}: the values differ, by up to {worst:g}"
    return None


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = load(sys.argv[1]), load(sys.argv[2])
    difference = first_difference(first, second)
    if difference:
        sys.exit(difference)
    if not first:
        sys.exit("neither file holds weights")
    print(f"{len(first)} tensors are identical")


if __name__ == "__main__":
    main()
