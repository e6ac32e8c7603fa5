#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Prints the version of the program, its commit, or the time of the commit. They do not depend on the build, so that
# every build of a commit has the same bytes. Without git they are "unknown".
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
version)
    # Before the first release, and in a clone without tags, there is no version. No "+": it is also a tag of the image.
    git describe --tags --match 'v[0-9]*' --abbrev=12 --dirty 2>/dev/null || {
        described=$(git describe --always --exclude '*' --abbrev=12 --dirty 2>/dev/null) &&
            echo "v0.0.0-0-g$described"
    } || echo unknown
    ;;
revision) git describe --always --exclude '*' --abbrev=40 --dirty 2>/dev/null || echo unknown ;;
date) TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo unknown ;;
*)
    echo "usage: $0 version|revision|date" >&2
    exit 2
    ;;
esac
