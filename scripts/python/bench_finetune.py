# SPDX-License-Identifier: Apache-2.0
"""Speed of a fine-tuning step in PyTorch: Swin-UNet, TransUNet or nnU-Net with Dice and cross-entropy, or the classifier with cross-entropy. The baseline of compare_finetune.py."""
import torch
import torch.nn.functional as F

import nnunet_model
from bench_step import prepared, step_arguments, time_steps
from transunet_model import TransUNet
from vmae_model import SwinClassifier, SwinUNet

CLASSES = {"swin-unet": 9, "transunet": 9, "nnunet": 9, "swin-classifier": 5}
SEGMENTERS = {"swin-unet": SwinUNet, "transunet": TransUNet}


def dice_ce(logits, mask):
    """Cross-entropy and soft Dice over the batch, without the background; as `vmae finetune-seg` by default. logits (B, K, H, W), mask (B, H, W)."""
    logits = logits.float()
    p, truth = logits.softmax(1)[:, 1:], F.one_hot(mask, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:].float()
    both, volume = (p * truth).sum((0, 2, 3)), truth.sum((0, 2, 3))          # (K - 1)
    dice = (2 * both + 1e-5) / (p.sum((0, 2, 3)) + volume + 1e-5)
    there = (volume > 0).float()
    return F.cross_entropy(logits, mask) + ((1 - dice) * there).sum() / there.sum().clamp_min(1)


def main():
    parser = step_arguments(__doc__, batch=8)
    parser.add_argument("--model", choices=tuple(CLASSES), default="swin-unet")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    size, classes = (args.image_size, args.image_size), CLASSES[args.model]
    images = torch.randn(args.batch, 3, *size, device=args.device)

    def numbers(*shape):
        return torch.randint(classes, shape, device=args.device)
    if args.model == "nnunet":
        model, mask = prepared(nnunet_model.NnUnet(classes), args), numbers(args.batch, *size)
        time_steps(model, lambda: nnunet_model.loss(model(images), mask), args)
    elif args.model in SEGMENTERS:
        model, mask = prepared(SEGMENTERS[args.model](num_classes=classes, image_size=size), args), numbers(args.batch, *size)
        time_steps(model, lambda: dice_ce(model(images), mask), args)
    else:
        model, labels = prepared(SwinClassifier(num_classes=classes, image_size=size), args), numbers(args.batch)
        time_steps(model, lambda: F.cross_entropy(model(images).float(), labels), args)


if __name__ == "__main__":
    main()
