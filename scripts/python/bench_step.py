# SPDX-License-Identifier: Apache-2.0
"""One training step in PyTorch, eager or compiled: the flags and the clock that bench_train.py and bench_finetune.py share."""
import argparse
import json
import os
import statistics
import time

import torch


def prepared(model, args):
    """In training, on the device, compiled if asked for; sums of fp32 with TF32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model = model.train().to(args.device)
    return torch.compile(model) if args.compile else model


def step_arguments(description, batch):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="fp32 on a GPU: with TF32, as vmae")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile() the model")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    return parser


def peak_mb(device):
    """Of a GPU: reserved there, as vmae says it."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**20
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def time_steps(model, loss_of_step, args, after=None):
    """AdamW on what loss_of_step() returns, under autocast; prints speed and memory, and what after(optimizer) adds. Of several ranks the first prints."""
    is_cuda = args.device == "cuda"
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=is_cuda or None)

    def step():
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16"):
            loss = loss_of_step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    first_step_s, step_s, last_loss = None, [], None
    for _ in range(args.warmup):
        start = time.perf_counter()
        step().item()
        first_step_s = first_step_s or time.perf_counter() - start
    begin = time.perf_counter()
    for number in range(args.steps):
        start = time.perf_counter()
        loss = step()
        if not is_cuda or number + 1 == args.steps:  # a GPU is given all steps at once, as vmae does
            last_loss = loss.item()
        step_s.append(time.perf_counter() - start)
    if is_cuda:
        step_s = [(time.perf_counter() - begin) / args.steps] * args.steps
    peak = peak_mb(args.device)
    result = {
        "images_per_s": args.batch / statistics.median(step_s),
        "peak_rss_mb": peak,
        "first_step_s": first_step_s,
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
