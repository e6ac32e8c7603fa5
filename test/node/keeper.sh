#!/bin/bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Removes all of a cluster when standard input ends, which is when the process that started the cluster has ended or
# wants to. The arguments are the directory of the cluster, and its cgroups.
set -uo pipefail

dir=$1
shift
trap '' HUP INT TERM # they may be sent to the whole group of processes
cat > /dev/null

for cgroup in "$@"; do
    # A process that is just being created may be missed once.
    while pids=$(find "$cgroup" -name cgroup.procs -exec cat {} + 2> /dev/null) && [ -n "$pids" ]; do
        # shellcheck disable=SC2086 # a list of numbers
        kill -KILL $pids 2> /dev/null
        sleep 0.1
    done
    find "$cgroup" -depth -type d -exec rmdir {} +
done
rm -rf "$dir"
