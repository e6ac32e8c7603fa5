#!/bin/bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Becomes a program in the cgroups in the variable CGROUPS. The arguments are the program and its own arguments.
set -euo pipefail

for cgroup in $CGROUPS; do
    echo 0 > "$cgroup/cgroup.procs"
done
unset CGROUPS
exec "$@"
