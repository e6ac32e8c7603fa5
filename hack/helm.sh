#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts helm into bin/tools, in the version that hack/helm/go.mod names.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
helm=$repo/bin/tools/helm
version=$(go list -C "$repo/hack/helm" -m -f '{{.Version}}' helm.sh/helm/v4)

if [ -x "$helm" ] && [ "$("$helm" version --template '{{.Version}}')" = "$version" ]; then
    echo "helm $version: already there"
    exit
fi
echo "helm $version: building (2 to 3 minutes on two cores the first time, seconds afterwards)..."
start=$SECONDS
mkdir -p "$(dirname "$helm")"
# Without a version of its own it reports that of the release line, and charts could not ask for it.
CGO_ENABLED=0 go build -C "$repo/hack/helm" -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" \
    -o "$helm" helm.sh/helm/v4/cmd/helm
echo "helm $version: built in $((SECONDS - start)) s"
