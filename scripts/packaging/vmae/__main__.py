# SPDX-License-Identifier: Apache-2.0
import os
import sys

from . import program

os.execv(program(), ["vmae", *sys.argv[1:]])
