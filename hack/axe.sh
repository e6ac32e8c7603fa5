#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts axe-core, which checks the accessibility of pages, into bin/axe, by npm and the lockfile in hack/axe.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/axe
lock=$repo/hack/axe/package-lock.json

if cmp -s "$lock" "$bin/package-lock.json" && [ -f "$bin/node_modules/axe-core/axe.min.js" ]; then
    exit 0
fi
echo 'axe-core: fetching with npm...'
mkdir -p "$bin"
cp "$repo/hack/axe/package.json" "$lock" "$bin/"
npm ci --prefix "$bin" --ignore-scripts --no-audit --no-fund --silent
