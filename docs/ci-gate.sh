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
old=$1 new=$2 limit=$3 folder=$4
shift 4
pyfio-virtio sweep --backend "old=$old" --backend "new=$new" --repeats 12 -o "$folder" "$@"
pyfio-virtio report "$folder"
pyfio-virtio compare "$folder" --base old --json > "$folder/comparison.json"
status=0
pyfio-virtio compare "$folder" --base old --max-regression "$limit" --markdown \
	> "$folder/summary.md" || status=$?
cat "$folder/summary.md"
exit "$status"
