#!/bin/sh
# The program in the packages of the Python beside this script. Where several have one, that Python is asked.
here=$(dirname "$(readlink -f "$0")")
found=
for program in "$here"/../lib/python3*/site-packages/vmae/bin/vmae "$here"/../lib/python3*/dist-packages/vmae/bin/vmae; do
  [ ! -x "$program" ] || found="$found|$program"
done
case ${found#|} in
  ''|*'|'*) if [ -x "$here/python3" ]; then exec "$here/python3" -m vmae "$@"; else exec python3 -m vmae "$@"; fi ;;
  *) exec "${found#|}" "$@" ;;
esac
