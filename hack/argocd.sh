#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts into bin/argocd what Argo CD needs to run: argocd, which is all of its programs, and kustomize, in the versions
# that hack/argocd/go.mod names, its script that verifies commits, and Debian's redis-server.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/argocd
mkdir -p "$bin"

module() { # field, module
    go list -C "$repo/hack/argocd" -m -f "{{.$1}}" "$2"
}

build() { # program, module, package, about how long the first build takes
    local version start=$SECONDS
    version=$(module Version "$2")
    if [ "$(go version -m "$bin/$1" 2>/dev/null | awk -v module="$2" '$1 ~ /^(mod|dep)$/ && $2 == module {print $3}')" = "$version" ]; then
        echo "$1 $version: already there"
        return
    fi
    echo "$1 $version: building ($4 on two cores the first time, seconds afterwards)..."
    rm -f "$bin/$1"
    CGO_ENABLED=0 go build -C "$repo/hack/argocd" -ldflags '-s -w' -o "$bin/$1" "$3"
    echo "$1 $version: built in $((SECONDS - start)) s"
}

# The program is in redis-tools. The package redis-server has only a link to it, and a service that would be started.
# It is what its name says, so that a link to it is not enough.
install_redis() {
    if [ -x "$bin/redis-server" ]; then
        return
    fi
    if ! command -v redis-server redis-check-rdb >/dev/null; then
        echo 'redis-server: installing redis-tools with apt-get...'
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends redis-tools >/dev/null
    fi
    cp -L "$(command -v redis-server redis-check-rdb | head -n 1)" "$bin/redis-server"
}

install_redis
build kustomize sigs.k8s.io/kustomize/kustomize/v5 sigs.k8s.io/kustomize/kustomize/v5 '1 minute'
build argocd github.com/argoproj/argo-cd/v3 github.com/argoproj/argo-cd/v3/cmd 'up to half an hour'
install -m 755 "$(module Dir github.com/argoproj/argo-cd/v3)/hack/git-verify-wrapper.sh" "$bin/"
