# SPDX-License-Identifier: Apache-2.0
"""Makes weights.json: the random draws, in their order, that give the weights of the golden models (README.md).

The Python models draw their initial weights in the reference's order, so a seed gives the reference's weights; here every draw is written down, so that C++
and Python repeat them without a model. Run: python make_weights.py"""
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts" / "python"))
from vmae_model import SwinClassifier, SwinMAE, SwinUNet  # noqa: E402


class Recorder:
    """Within: draws holds (address, shape, kind, arguments) of every random number that initialises a tensor."""

    def __enter__(self):
        self.draws, self.saved = [], (torch.Tensor.uniform_, torch.Tensor.normal_)
        uniform, normal = self.saved

        def record(method, kind):
            def draw(tensor, *arguments, **named):
                self.draws.append((tensor.data_ptr(), list(tensor.shape), kind, [float(a) for a in arguments]))
                return method(tensor, *arguments, **named)
            return draw
        torch.Tensor.uniform_, torch.Tensor.normal_ = record(uniform, "uniform"), record(normal, "normal")
        return self

    def __exit__(self, *_):
        torch.Tensor.uniform_, torch.Tensor.normal_ = self.saved


def recipe_of(make):
    """The draws of a model, in their order, and its parameters, in theirs."""
    with Recorder() as recorder:
        model = make()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    constants = {name: p.flatten()[0].item() for name, p in trained.items() if (p == p.flatten()[0]).all()}
    keys = {p.data_ptr(): name for name, p in trained.items() if name not in constants}
    last = {address: i for i, (address, *_) in enumerate(recorder.draws)}
    return {
        # [key, or "" where the numbers are written over; shape; how; its two arguments]
        "draws": [[keys.get(address, "") if last[address] == i else "", *rest] for i, (address, *rest) in enumerate(recorder.draws)],
        # [key, shape, value or null where it is drawn], in the order in which they are perturbed
        "parameters": [[name, list(p.shape), constants.get(name)] for name, p in trained.items()],
        "keys": list(model.state_dict())}


def main():
    mae, unet, classifier = (recipe_of(make) for make in (
        lambda: SwinMAE(embed_dim=24), lambda: SwinUNet(embed_dim=24, num_classes=3), lambda: SwinClassifier(embed_dim=24, num_classes=5)))
    noise = ["", [2, 196], "uniform", [0, 1]]
    weights = {  # drawn after `seed` and the draws `first`; then all parameters are perturbed by draws after perturbation_seed
        "mae_tiny": {"model": "mae", "seed": 0, "first": [], "perturbation_seed": 1},
        "mae_tiny_second": {"model": "mae", "seed": 3, "first": [noise], "perturbation_seed": 1},
        "unet_tiny": {"model": "unet", "seed": 0, "first": [], "perturbation_seed": 4},
        "classifier_tiny": {"model": "classifier", "seed": 0, "first": unet["draws"], "perturbation_seed": 6}}
    (HERE / "weights.json").write_text(json.dumps({"models": {"mae": mae, "unet": unet, "classifier": classifier}, "weights": weights}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
