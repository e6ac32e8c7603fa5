#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts krew into bin/tools, in the version that hack/krew/go.mod names.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$(go list -C "$repo/hack/krew" -m -f '{{.Version}}' sigs.k8s.io/krew)
mkdir -p "$repo/bin/tools"
CGO_ENABLED=0 "$repo/hack/build.sh" "krew $version" -C="$repo/hack/krew" \
    -ldflags "-s -w -X sigs.k8s.io/krew/internal/version.gitTag=$version" \
    -o "$repo/bin/tools/krew" sigs.k8s.io/krew/cmd/krew
