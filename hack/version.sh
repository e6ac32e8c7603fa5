#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Prints what the program is to say of itself: its version, the commit, and when that was made. All of it is the commit's,
# not the build's, so that whoever builds the commit builds the same bytes. Without git it is "unknown".
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1:-} in
version)
    # Before the first release, and in a clone without tags, there is none to count from. No "+": it also is an image's tag.
    git describe --tags --match 'v[0-9]*' --abbrev=12 --dirty 2>/dev/null ||
        { described=$(git describe --always --exclude '*' --abbrev=12 --dirty 2>/dev/null) && echo "v0.0.0-0-g$described"; } ||
        echo unknown
    ;;
revision) git rev-parse HEAD 2>/dev/null || echo unknown ;;
date) TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo unknown ;;
*)
    echo "usage: $0 version|revision|date" >&2
    exit 2
    ;;
esac
