#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Runs every fuzz test for the time given, one after the other.
set -euo pipefail

time=${1:-30s}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The tests are found by name, since go test can fuzz only one at a time. A failing input is minimized in a few tries,
# and not for a minute in addition to the given time.
grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' apis cmd pkg | sort | while IFS=: read -r file function; do
    name=${function#func }
    echo "fuzzing $name of $(dirname "$file") for $time"
    go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x
done
