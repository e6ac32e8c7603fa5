#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts examples of webhooks into bin/vendors, which their publishers or users collected: GitHub's, which are an npm
# package, and the test data of Go modules: Argo CD, and those that hack/vendors/go.mod names. None of them is committed.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/vendors
octokit=webhooks-examples-7.6.1
sha512=0dee94dd707a3b70ed09aedb2a008ccd31dd7a8a6aa99e92362bcc6099caeb989eaca2f5027348034b644580914bb970193efdd9df8fb3559b7c796ca3a3329d
mkdir -p "$bin"

if ! [ -d "$bin/octokit-$octokit" ]; then
    echo "@octokit/$octokit: fetching with npm..."
    archive=$(mktemp -d)
    trap 'rm -rf "$archive"' EXIT
    npm pack --silent --pack-destination="$archive" "@octokit/${octokit%-*}@${octokit##*-}" >/dev/null
    echo "$sha512  $archive/octokit-$octokit.tgz" | sha512sum --check --quiet
    tar -xzf "$archive/octokit-$octokit.tgz" -C "$archive"
    mv "$archive/package" "$bin/octokit-$octokit"
fi
ln -sfn "octokit-$octokit" "$bin/octokit"

link() { # name, directory below hack, module, directory of the test data
    go -C "$repo/hack/$2" mod download "$3"
    mkdir -p "$(dirname "$bin/$1")"
    ln -sfn "$(go list -C "$repo/hack/$2" -m -f '{{.Dir}}' "$3")/$4" "$bin/$1"
}
link argo-cd/applicationset argocd github.com/argoproj/argo-cd/v3 applicationset/webhook/testdata
link argo-cd/util argocd github.com/argoproj/argo-cd/v3 util/webhook/testdata
link go-playground vendors github.com/go-playground/webhooks/v6 testdata
link go-scm vendors github.com/drone/go-scm scm/driver
link gitlab vendors gitlab.com/gitlab-org/api/client-go testdata/webhooks
