# SPDX-License-Identifier: Apache-2.0
"""Training speed of the eager PyTorch model on the CPU: the baseline that scripts/bench compares the C++ program with."""
import argparse
import json
import statistics
import time

import torch

from vmae_model import SwinMAE


def peak_rss_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    model = SwinMAE(image_size=(args.image_size, args.image_size)).train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)
    images = torch.randn(args.batch, 3, args.image_size, args.image_size)

    step_s = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            loss, _, _ = model(images)
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
    }
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{args.precision}, batch {args.batch}, {result['threads']} threads: {result['images_per_s']:.2f} images/s, "
              f"{result['peak_rss_mb']:.0f} MB, loss {last_loss:.4f}")


if __name__ == "__main__":
    main()
