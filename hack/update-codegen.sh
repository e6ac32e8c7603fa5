#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Writes all generated files: deepcopy, defaults, conversions, OpenAPI, clientset, the references in docs/reference, the
# manifests, the values in the README of the chart, and the CRDs of Argo CD. The generators are from the
# version of k8s.io/code-generator in hack/tools/go.mod, the CRD is from the one in hack/argocd/go.mod.
# With an argument, writes into that copy of the repository instead of this one (hack/verify.sh compares the two).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=${1:-$repo}
boilerplate=hack/boilerplate.go.txt
module=postern.dev/postern
export CGO_ENABLED=0 GOBIN=$repo/bin/tools

echo 'Building the code generators (a minute the first time, then cached)...'
go -C "$repo/hack/tools" mod download k8s.io/code-generator
source "$(go -C "$repo/hack/tools" list -m -f '{{.Dir}}' k8s.io/code-generator)/kube_codegen.sh"

cd "$root"
kube::codegen::gen_helpers --boilerplate $boilerplate apis
kube::codegen::gen_openapi --boilerplate $boilerplate --output-model-name-file zz_generated.model_name.go \
    --output-dir pkg/generated/openapi --output-pkg $module/pkg/generated/openapi --update-report apis
kube::codegen::gen_client --boilerplate $boilerplate \
    --output-dir pkg/generated --output-pkg $module/pkg/generated apis

# The manifests are rendered from the chart.
find manifests -type f -exec grep -q '^# Generated from charts/postern ' {} \; -delete
go run -C "$repo/hack/helm" ./manifests "$PWD"
go run -C "$repo/hack/helm" ./chartreadme "$PWD"

argocd() { go -C "$repo/hack/argocd" list -m -f "{{.$1}}" github.com/argoproj/argo-cd/v3; }
go -C "$repo/hack/argocd" mod download github.com/argoproj/argo-cd/v3
for kind in application applicationset; do
    go run ./hack/applicationcrd "$(argocd Version)" "$(argocd Dir)/manifests/crds/$kind-crd.yaml" \
        >"artifacts/crds/${kind}s.argoproj.io.yaml"
done

go run ./hack/apireference >docs/reference/api.md
go test ./cmd/postern/app/options -count=1 -run '^TestFlagReference_IsCurrent$' -update
