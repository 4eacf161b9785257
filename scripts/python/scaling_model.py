#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of docs/scaling.md: what a pretraining step on many A100 should take, from the inputs below. Needs nothing but Python.

usage: python3 scripts/python/scaling_model.py [--set NAME=VALUE ...]      e.g. --set nic_busbw=85e9 compute=whole_program
Of each input: measured (of this program), published (docs/scaling.md has the address), estimated (an assumption), or given (by the program or the question).
"""
import argparse
import math

INPUTS = {
    # name: (value, kind, what)
    "compute": ("roofline", "given", "which estimate of compute the tables use: whole_program, rtx3090, roofline"),
    "peak_flops": (312e12, "published", "A100, bf16, dense"),
    "memory_bw": (1555e9, "published", "bytes/s, A100 40 GB"),
    "matmul_share": (0.6, "estimated", "of peak_flops that matrix products of these sizes reach"),
    "memory_share": (0.8, "estimated", "of memory_bw that the other operations reach"),
    "swin_t_whole": (3505.07 / 8, "published", "Swin-T training, images/s per A100, whole Python program"),
    "swin_t_3090": (648.69, "published", "Swin-T training, images/s on an RTX 3090, model alone"),
    "memory_bw_3090": (936e9, "published", "bytes/s, RTX 3090"),
    "launch_floor": (4e-3, "estimated", "s of a step that the CPU needs to launch kernels, about 800 of 5 us; a CUDA graph removes most of it"),
    "parameters": (26_635_860, "measured", "trainable parameters of the full-size model"),
    "gradient_bytes": (4, "given", "per parameter: fp32; 2 with train.gradient_compression=bf16"),
    "bucket": (25 * 2**20, "given", "bytes of a bucket of gradients (c10d's default)"),
    "nvlink_busbw": (200e9, "published", "bus bandwidth of an all-reduce in a node of 8 A100"),
    "nic_busbw": (192e9, "published", "between nodes with 8 HDR adapters each (4: 85e9)"),
    "hop": (15e-6, "estimated", "s that one hop between nodes adds to a bucket's all-reduce, tree of nodes"),
    "gloo_hop": (50e-6, "estimated", "s of one hop of Gloo's ring over TCP; measured on loopback, two ranks on two busy cores: 150e-6"),
    "control_ranks": (16, "given", "this many ranks and fewer are asked after every step whether one was told to stop, twice as many after every second, ..."),
    "per_core_flip": (7583, "measured", "images/s that one core reads, mirrors, normalises (docs/data.md)"),
    "per_core_segmentation": (2342, "measured", "the same with the segmentation augmentations and masks"),
    "item_bytes": (53248, "estimated", "of an item in a prepared dataset, at most: 224 x 224 bytes in whole pages"),
    "dataset_images": (2_486_425, "published", "images that the paper pretrains on"),
    "epochs": (800, "published", "of the paper"),
    "batch": (640, "published", "samples per step, all GPUs together, of the paper"),
    "nvme_read": (3.5e9, "published", "bytes/s, one NVMe drive"),
    "nfs_read": (1.25e9, "published", "bytes/s, one TCP connection to an NFS server"),
    "pcie": (25e9, "estimated", "bytes/s from GPU to pinned memory, of 32e9 that PCIe 4.0 x16 has"),
}


def counted(depths, decoder_depths=(), dim=96, tokens=3136, window=49, patch=48, mlp_ratio=4):
    """Of one image: floating-point operations of a training step in matrix products (a multiply-add is two; forward once, backward twice), and
    token-channels, the sum over blocks of tokens x channels."""

    def blocks(count, n, c):
        return count * ((4 + 2 * mlp_ratio) * n * c * c + 2 * n * window * c), count * n * c

    multiply_adds, token_channels = tokens * patch * dim, 0
    for stage, count in enumerate(depths):
        n, c = tokens // 4**stage, dim * 2**stage
        work, size = blocks(count, n, c)
        multiply_adds, token_channels = multiply_adds + work, token_channels + size
        if stage + 1 < len(depths):
            multiply_adds += n // 4 * 4 * c * 2 * c
    for step, count in enumerate(decoder_depths):
        n, c = tokens // 4 ** (len(depths) - 2 - step), dim * 2 ** (len(depths) - 2 - step)
        work, size = blocks(count, n, c)
        multiply_adds, token_channels = multiply_adds + work + n // 4 * 2 * c * 4 * c, token_channels + size
    if decoder_depths:
        multiply_adds += tokens * dim * patch
    return 3 * 2 * multiply_adds, token_channels


# Reads and writes of a block, in units of tokens x channels, unfused, forward: two LayerNorms 4, qkv 4, attention 4, projection 2, two residuals 6, fc1 5,
# GELU 8, fc2 5, gathers of windows 8. Backward is taken as twice that. Two bytes each.
BYTES_PER_TOKEN_CHANNEL = 3 * 46 * 2


def estimates(x):
    """Seconds per image of one A100, three ways."""
    flops, token_channels = counted((2, 2, 2, 2), (2, 2, 2))
    swin_t, _ = counted((2, 2, 6, 2))
    return {
        "whole_program": flops / swin_t / x["swin_t_whole"],
        "rtx3090": flops / swin_t / x["swin_t_3090"] * x["memory_bw_3090"] / x["memory_bw"],
        "roofline": flops / (x["matmul_share"] * x["peak_flops"]) + token_channels * BYTES_PER_TOKEN_CHANNEL / (x["memory_share"] * x["memory_bw"]),
    }


def step(x, gpus, batch):
    """One step: every time in seconds."""
    nodes, image_s = max(1, gpus // 8), estimates(x)[x["compute"]]
    images = math.ceil(batch / gpus)  # of the rank that has most
    compute = max(images * image_s, x["launch_floor"])
    size, n = x["parameters"] * x["gradient_bytes"], gpus
    buckets = max(1, math.ceil(size / x["bucket"]))
    busbw = x["nvlink_busbw"] if nodes == 1 else min(x["nvlink_busbw"], x["nic_busbw"])
    latency = 0 if nodes == 1 else 2 * math.log2(nodes) * x["hop"]
    all_reduce = 2 * (n - 1) / n * size / busbw + buckets * latency
    exposed = all_reduce / buckets + max(0.0, all_reduce * (buckets - 1) / buckets - compute * 2 / 3)  # the last bucket follows the last gradient
    control = 2 * (n - 1) * x["gloo_hop"] / max(1, n // x["control_ranks"])
    total = compute + exposed + control
    rate = batch / total
    return {"images": images, "compute": compute, "all_reduce": all_reduce, "exposed": exposed, "control": control, "total": total, "rate": rate,
            "ideal": batch / (compute + exposed), "efficiency": rate * image_s / gpus, "cores_flip": rate / nodes / x["per_core_flip"],
            "cores_segmentation": rate / nodes / x["per_core_segmentation"], "node_read": rate / nodes * x["item_bytes"], "all_read": rate * x["item_bytes"],
            "hours": x["dataset_images"] * x["epochs"] / rate / 3600}


def table(title, header, rows):
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}")
    for row in [header, *rows]:
        print("  " + "  ".join(str(cell).rjust(width) for cell, width in zip(row, widths)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other inputs")
    arguments = parser.parse_args()
    x = {name: value for name, (value, _, _) in INPUTS.items()}
    for change in arguments.set:
        name, _, value = change.partition("=")
        if name not in INPUTS:
            parser.error(f"there is no input {name}; they are: {', '.join(INPUTS)}")
        x[name] = value if isinstance(INPUTS[name][0], str) else float(value)
    if x["compute"] not in estimates(x):
        parser.error(f"compute is one of {', '.join(estimates(x))}")

    print("inputs:")
    for name, (_, kind, what) in INPUTS.items():
        print(f"  {name:22} {x[name] if isinstance(x[name], str) else format(x[name], '.6g'):>12}  {kind:9}  {what}")
    flops, token_channels = counted((2, 2, 2, 2), (2, 2, 2))
    swin_t, _ = counted((2, 2, 6, 2))
    print(f"\ncounted: {flops / 1e9:.1f} GFLOP per image and training step; Swin-T {swin_t / 1e9:.1f}; "
          f"{token_channels * BYTES_PER_TOKEN_CHANNEL / 1e6:.0f} MB of activations read and written per image")

    rows = []
    for name, seconds in estimates(x).items():
        one = step({**x, "compute": name}, 8, x["batch"])
        rows.append([name, f"{1 / seconds:.0f}", f"{flops / seconds / x['peak_flops']:.1%}", f"{one['rate']:.0f}", f"{one['hours']:.0f}"])
    table("one node of 8 A100, three estimates of compute", ["estimate", "images/s per GPU", "of peak", "images/s of 8", "hours for 800 epochs"], rows)

    header = ["GPUs", "batch", "images/GPU", "compute ms", "all-reduce ms", "exposed ms", "control ms", "images/s", "without control", "of linear", "cores/node", "(segm.)",
              "GB/s/node", "GB/s all"]
    for title, batches in (("the paper's batch on more GPUs", [x["batch"]] * 3), ("80 samples per GPU", [80 * n for n in (8, 64, 512)])):
        rows = []
        for gpus, batch in zip((8, 64, 512), batches):
            s = step(x, gpus, batch)
            rows.append([gpus, int(batch), s["images"], *(f"{1e3 * s[key]:.2f}" for key in ("compute", "all_reduce", "exposed", "control")), f"{s['rate']:.0f}",
                         f"{s['ideal']:.0f}", f"{s['efficiency']:.0%}", f"{s['cores_flip']:.2f}", f"{s['cores_segmentation']:.2f}",
                         f"{s['node_read'] / 1e9:.2f}", f"{s['all_read'] / 1e9:.2f}"])
        table(f"{title} ({x['compute']})", header, rows)

    size, checkpoint = x["dataset_images"] * x["item_bytes"], 3 * 4 * x["parameters"]
    print(f"\ndataset: {size / 1e9:.0f} GB; read once from one NVMe drive: {size / x['nvme_read']:.0f} s, over one NFS connection: {size / x['nfs_read']:.0f} s")
    print(f"checkpoint: {checkpoint / 1e6:.0f} MB; copied to the host in {1e3 * checkpoint / x['pcie']:.0f} ms")


if __name__ == "__main__":
    main()
