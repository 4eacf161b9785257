# SPDX-License-Identifier: Apache-2.0
"""Training speed of the PyTorch model: the baseline that scripts/bench compares the C++ program with. Under torchrun: DistributedDataParallel, the
batch divided among the ranks. --checkpoint FILE: times torch.save() of weights and optimizer, as scripts do between two steps."""
import os
import time

import torch

from bench_step import prepared, step_arguments, time_steps
from vmae_model import SwinMAE, SwinSimCLR


def main():
    parser = step_arguments(__doc__, batch=16)
    parser.add_argument("--checkpoint")
    parser.add_argument("--model", choices=("mae", "simclr"), default="mae")
    args = parser.parse_args()
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    size, count = (args.image_size, args.image_size), args.batch // ranks
    model = (SwinMAE if args.model == "mae" else SwinSimCLR)(image_size=size)
    model = prepared(model, args)
    images = torch.randn(count if args.model == "mae" else 2 * count, 3, *size, device=args.device)  # simclr: two ready views of each
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    time_steps(model, lambda: model(images)[0] if args.model == "mae" else model.loss(*model(images)[1].chunk(2)), args, after=save(model, args.checkpoint) if args.checkpoint else None)
    if ranks > 1:
        torch.distributed.destroy_process_group()


def save(model, path):
    def timed(optimizer):
        start = time.perf_counter()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        return {"checkpoint_pause_s": time.perf_counter() - start}

    return timed


if __name__ == "__main__":
    main()
