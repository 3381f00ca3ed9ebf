#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Is the new back-end slower than the old one? Measures both in turns, and writes a report.
#
#   sh ci-gate.sh OLD NEW LIMIT FOLDER [OPTION OF SWEEP]...
#
# OLD and NEW are what `pyfio-virtio sweep --backend` takes: a socket, or builtin or qsd with
# options. The exit status is 0 if NEW is surely not slower by more than LIMIT at any point, 4 if it
# surely is at one of them, and 5 if the runs cannot tell. FOLDER then has report.html for people,
# summary.md for the pull request, and comparison.json for programs.
set -eu
if [ $# -lt 4 ]; then
	echo "usage: sh $0 OLD NEW LIMIT FOLDER [OPTION OF SWEEP]..." >&2
	exit 2
fi
case $3 in
*[!0-9.]*% | *%*%* | %) limit= ;;
*%) limit=$3 ;;
*) limit= ;;
esac
if [ -z "$limit" ]; then
	echo "$0: '$3' is no limit; write it as 5%" >&2
	exit 2
fi
old=$1 new=$2 folder=$4
shift 4
pyfio-virtio sweep --backend "old=$old" --backend "new=$new" --repeats 12 -o "$folder" "$@"
pyfio-virtio report "$folder"
status=0
pyfio-virtio compare "$folder" --base old --max-regression "$limit" --json \
	> "$folder/comparison.json" || status=$?
pyfio-virtio compare "$folder" --base old --max-regression "$limit" --markdown \
	> "$folder/summary.md" 2> /dev/null || true
cat "$folder/summary.md"
exit "$status"
