# SPDX-License-Identifier: Apache-2.0
import importlib.util
import os
import sys

from . import program

# Of this Python, wherever its packages are.
torch = importlib.util.find_spec("torch")
if torch and torch.submodule_search_locations and not os.environ.get("VMAE_TORCH"):
    os.environ["VMAE_TORCH"] = torch.submodule_search_locations[0]
os.execv(program(), ["vmae", *sys.argv[1:]])
