#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts into bin/runners what runs workflows and pipelines on this machine, without containers: act for GitHub Actions, and
# actionlint, which checks them, in the versions that hack/actions/go.mod names; gitlab-ci-local for GitLab CI, by npm and
# the lockfile in hack/gitlab-ci-local, and Debian's rsync, with which it copies the repository.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/runners
mkdir -p "$bin"
export CGO_ENABLED=0

build() { # program, module, package
    local version start=$SECONDS
    version=$(go list -C "$repo/hack/actions" -m -f '{{.Version}}' "$2")
    if [ "$(go version -m "$bin/$1" 2>/dev/null | awk -v module="$2" '$1 ~ /^(mod|dep)$/ && $2 == module {print $3}')" = "$version" ]; then
        echo "$1 $version: already there"
        return
    fi
    echo "$1 $version: building (a minute on two cores the first time, seconds afterwards)..."
    rm -f "$bin/$1"
    go build -C "$repo/hack/actions" -ldflags '-s -w' -o "$bin/$1" "$3"
    echo "$1 $version: built in $((SECONDS - start)) s"
}

build act github.com/nektos/act github.com/nektos/act
build actionlint github.com/rhysd/actionlint github.com/rhysd/actionlint/cmd/actionlint

if ! command -v rsync >/dev/null; then
    echo 'rsync: installing with apt-get...'
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends rsync >/dev/null
fi
lock=$repo/hack/gitlab-ci-local/package-lock.json
if ! cmp -s "$lock" "$bin/package-lock.json"; then
    echo 'gitlab-ci-local: fetching with npm...'
    cp "$repo/hack/gitlab-ci-local/package.json" "$lock" "$bin/"
    npm ci --prefix "$bin" --ignore-scripts --no-audit --no-fund --silent ||
        { rm -f "$bin/package-lock.json"; exit 1; }
fi
