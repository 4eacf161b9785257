# SPDX-License-Identifier: Apache-2.0
"""One training step in eager PyTorch: the flags and the clock that bench_train.py and bench_finetune.py share."""
import argparse
import json
import os
import statistics
import time

import torch


def step_arguments(description, batch):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    return parser


def peak_rss_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def time_steps(model, loss_of_step, args, after=None):
    """AdamW on what loss_of_step() returns, under autocast; prints speed and memory, and what after(optimizer) adds. Of several ranks the first prints."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)
    step_s = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            loss = loss_of_step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        last_loss = loss.item()
        step_s.append(time.perf_counter() - start)

    step_s = step_s[args.warmup:]
    result = {
        "images_per_s": args.batch / statistics.median(step_s),
        "peak_rss_mb": peak_rss_mb(),
        "loss": last_loss,
        "step_s": step_s,
        "precision": args.precision,
        "batch": args.batch,
        "image_size": args.image_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **(after(optimizer) if after else {}),
    }
    if int(os.environ.get("RANK", 0)) > 0:
        return
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{args.precision}, batch {args.batch}, {result['threads']} threads: {result['images_per_s']:.2f} images/s, "
              f"{result['peak_rss_mb']:.0f} MB, loss {last_loss:.4f}")
