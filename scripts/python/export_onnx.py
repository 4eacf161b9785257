# SPDX-License-Identifier: Apache-2.0
"""export_onnx.py WEIGHTS OUT.onnx: a fine-tuned model (Swin-UNet, plain U-Net, classifier) for programs that read ONNX.

WEIGHTS: a run folder, .safetensors or .pth. Input `image` (batch, channels, height, width), float32, prepared as in training: data.* of the run, which the
file carries in its metadata under image_options (with mean, std and size). Output `logits`: (batch, classes, height, width), background first, or (batch,
classes). The batch is open, the size is the model's. Needs torch, onnx and onnxscript, and safetensors to read our files.
"""
import argparse
import json
import pathlib

import torch

from swin_layers import shift_mask
from vmae_model import load_model, model_name, read_weights

CARRIED = ("class_names", "is_multi_label", "pool", "image_options", "label_values", "modality")  # what `vmae predict` knows of a model, too


def export_onnx(weights, output):
    """Writes the file whole or not at all; returns its ONNX model."""
    import onnx

    tensors, metadata = read_weights(weights)
    name = model_name(tensors, metadata)
    if name in ("mae", "simclr"):
        raise ValueError(f"{weights}: weights of pretraining predict nothing; fine-tune them first")
    model, options = load_model(weights), metadata.get("model_options", {})
    size = options.get("image_size") or getattr(model, "image_size", None)
    if not size:
        raise ValueError(f"{weights}: does not say the size of its images")
    image = torch.zeros(2, options.get("in_channels") or getattr(model, "in_channels", 3), *size)
    shift_mask.cache_clear()
    with torch.no_grad():
        model(image)  # masks of the shifted windows are kept: now they are numbers, and become constants
    try:
        program = torch.onnx.export(model, (image,), input_names=["image"], output_names=["logits"], dynamo=True, verbose=False,
                                    dynamic_shapes=({0: torch.export.Dim("batch")},))
    finally:
        shift_mask.cache_clear()
    graph = program.model_proto
    onnx.helper.set_model_props(graph, {"model": name, **{key: metadata[key] for key in CARRIED if key in metadata}})
    onnx.checker.check_model(graph)
    output = pathlib.Path(output)
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_bytes(graph.SerializeToString())
    temporary.replace(output)
    return graph


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a run folder, .safetensors or .pth")
    parser.add_argument("output", help="file to write")
    arguments = parser.parse_args()
    graph = export_onnx(arguments.weights, arguments.output)
    names = json.loads(next((p.value for p in graph.metadata_props if p.key == "class_names"), "[]"))
    print(f"{arguments.output}: image {[d.dim_param or d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim]} -> logits"
          + (f" of {', '.join(names)}" if names else ""))


if __name__ == "__main__":
    main()
