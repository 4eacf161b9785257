# SPDX-License-Identifier: Apache-2.0
"""Training speed of the eager PyTorch model on the CPU: the baseline that scripts/bench compares the C++ program with."""
import torch

from bench_step import step_arguments, time_steps
from vmae_model import SwinMAE


def main():
    args = step_arguments(__doc__, batch=16).parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = SwinMAE(image_size=(args.image_size, args.image_size)).train()
    images = torch.randn(args.batch, 3, args.image_size, args.image_size)
    time_steps(model, lambda: model(images)[0], args)


if __name__ == "__main__":
    main()
