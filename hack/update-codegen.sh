#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Writes all that is generated: deepcopy, defaults, conversions, OpenAPI, clientset, listers, informers, the references in
# docs/reference, and the manifests.
# With an argument, writes into that copy of the repository instead of this one (hack/verify.sh compares the two).
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=${1:-$repo}
tools=$repo/bin/tools
module=postern.dev/postern
export CGO_ENABLED=0

echo "Building the code generators (a minute the first time, then cached)..."
mkdir -p "$tools"
go build -C "$repo/hack/tools" -o "$tools/" \
    k8s.io/code-generator/cmd/{client-gen,conversion-gen,deepcopy-gen,defaulter-gen,informer-gen,lister-gen} \
    k8s.io/kube-openapi/cmd/openapi-gen

cd "$root"
header=hack/boilerplate.go.txt

# What was generated goes first, so that nothing is left behind of a type that is gone.
find apis pkg -name 'zz_generated.*.go' -delete
rm -rf pkg/generated

"$tools/deepcopy-gen" --go-header-file "$header" --output-file zz_generated.deepcopy.go \
    ./apis/postern ./apis/postern/v1alpha1 ./apis/stoker/v1alpha1 ./apis/argoproj/v1alpha1 \
    ./apis/argocdimageupdater/v1alpha1
"$tools/defaulter-gen" --go-header-file "$header" --output-file zz_generated.defaults.go ./apis/postern/v1alpha1
"$tools/conversion-gen" --go-header-file "$header" --output-file zz_generated.conversion.go ./apis/postern/v1alpha1

# The types of other modules lie in the read-only module cache: their model names are theirs to generate.
"$tools/openapi-gen" --go-header-file "$header" --output-file zz_generated.openapi.go \
    --output-dir pkg/generated/openapi --output-pkg "$module/pkg/generated/openapi" \
    --output-model-name-file zz_generated.model_name.go --report-filename /dev/null \
    --readonly-pkg k8s.io/apimachinery/pkg/apis/meta/v1 --readonly-pkg k8s.io/apimachinery/pkg/runtime \
    --readonly-pkg k8s.io/apimachinery/pkg/version --readonly-pkg k8s.io/apimachinery/pkg/types \
    --readonly-pkg k8s.io/apimachinery/pkg/util/intstr --readonly-pkg k8s.io/apimachinery/pkg/api/resource \
    --readonly-pkg time \
    k8s.io/apimachinery/pkg/apis/meta/v1 k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/version \
    ./apis/postern/v1alpha1

"$tools/client-gen" --go-header-file "$header" --clientset-name versioned \
    --input-base "$module/apis" --input postern/v1alpha1 \
    --output-dir pkg/generated/clientset --output-pkg "$module/pkg/generated/clientset"
"$tools/lister-gen" --go-header-file "$header" \
    --output-dir pkg/generated/listers --output-pkg "$module/pkg/generated/listers" ./apis/postern/v1alpha1
"$tools/informer-gen" --go-header-file "$header" \
    --versioned-clientset-package "$module/pkg/generated/clientset/versioned" \
    --listers-package "$module/pkg/generated/listers" \
    --output-dir pkg/generated/informers --output-pkg "$module/pkg/generated/informers" ./apis/postern/v1alpha1

# The manifests are rendered from the chart.
find manifests -type f -exec grep -q '^# Generated from charts/postern ' {} \; -delete
go run -C "$repo/hack/helm" ./manifests "$PWD"

go run ./hack/apireference >docs/reference/api.md
go test ./cmd/postern -count=1 -run '^TestFlagReferenceIsCurrent$' -update
