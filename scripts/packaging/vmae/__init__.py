# SPDX-License-Identifier: Apache-2.0
"""vmae, as pip installs it: the program (`vmae`, or `python -m vmae`), and what goes on in Python with weights that it trained."""
from pathlib import Path

__all__ = ["load", "program"]


def program():
    """The executable."""
    return Path(__file__).parent / "bin" / "vmae"


def load(path, **options):
    """The model of a run's folder (its best weights, else its last) or of a file of weights: a torch.nn.Module in eval mode. vmae.vmae_model has the classes."""
    from .vmae_model import load_model  # which needs torch; the program may do without
    return load_model(path, **options)
