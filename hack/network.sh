#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts kube-router, which enforces NetworkPolicies in "make e2e", into bin/network, in the version that
# hack/kuberouter/go.mod names. Unlike kube-network-policies it does without CONFIG_NFT_QUEUE, which some kernels lack.
# It is only for tests.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/network
mkdir -p "$bin"
export CGO_ENABLED=0

module=github.com/cloudnativelabs/kube-router/v2
version=$(go list -C "$repo/hack/kuberouter" -m -f '{{.Version}}' "$module")
if [ "$(go version -m "$bin/kube-router" 2>/dev/null | awk -v module="$module" '$1 ~ /^(mod|dep)$/ && $2 == module {print $3}')" = "$version" ]; then
    echo "kube-router $version: already there"
    exit
fi
echo "kube-router $version: building (4 minutes on two cores the first time, seconds afterwards)..."
rm -f "$bin/kube-router"
start=$SECONDS
go build -C "$repo/hack/kuberouter" -ldflags '-s -w' -o "$bin/kube-router" "$module/cmd/kube-router"
echo "kube-router $version: built in $((SECONDS - start)) s"
