#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program in the packages of the Python beside this script. Where there are several, the Python that `python3` beside it is, or on the PATH, says which.
here=$(dirname "$(readlink -f "$0")")
found=
for program in "$here"/../lib*/python3*/site-packages/vmae/bin/vmae "$here"/../lib*/python3*/dist-packages/vmae/bin/vmae; do
  [ -x "$program" ] || continue
  program=$(readlink -f "$program")  # lib64 and python3.1 are often links
  [ "$program" = "$found" ] || [ -z "$found" ] || found=several
  [ "$found" = several ] || found=$program
done
case $found in
  ''|several) if [ -x "$here/python3" ]; then exec "$here/python3" -m vmae "$@"; else exec python3 -m vmae "$@"; fi ;;
  *) exec "$found" "$@" ;;
esac
