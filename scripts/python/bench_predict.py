# SPDX-License-Identifier: Apache-2.0
"""Masks for a folder of NIfTI volumes the usual Python way, from file to file: the baseline of compare_predict.py.

nibabel reads a volume; its slices are resized, normalised, and go through the network in batches; softmax, argmax, resize back, save."""
import argparse
import json
import pathlib

import nibabel
import numpy
import torch
import torch.nn.functional as F

from vmae_model import load_model

MEAN, STD = 0.223, 0.202


def predict(model, volume, size, batch, dtype):
    """volume (X, Y, slices) -> mask of the same shape, uint8."""
    low, high = numpy.percentile(volume, (0.5, 99.5))
    volume = ((volume - low) / max(high - low, 1e-6)).clip(0, 1)
    slices = torch.from_numpy(volume.astype(numpy.float32)).permute(2, 1, 0).unsqueeze(1)      # (slices, 1, Y, X)
    masks = []
    for part in slices.split(batch):
        image = F.interpolate(part, size, mode="bilinear", antialias=True)
        image = ((image - MEAN) / STD).expand(-1, model.in_channels, -1, -1)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(image)
        classes = logits.float().softmax(1).argmax(1, keepdim=True)
        masks.append(F.interpolate(classes.float(), part.shape[2:], mode="nearest-exact").to(torch.uint8))
    return torch.cat(masks)[:, 0].permute(2, 1, 0).numpy()


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--input", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    model = load_model(args.weights)
    args.output.mkdir(parents=True)
    paths = sorted(args.input.glob("*.nii.gz"))
    for path in paths:
        image = nibabel.load(path)
        mask = predict(model, image.get_fdata(), model.image_size, args.batch, torch.bfloat16 if args.precision == "bf16" else torch.float32)
        nibabel.save(nibabel.Nifti1Image(mask, image.affine), args.output / path.name)
    print(json.dumps({"volumes": len(paths)}))


if __name__ == "__main__":
    main()
