#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts into bin/senders what sends to Postern in tests with real programs, in the versions that the modules below hack
# name: the CNCF Distribution registry, crane, which pushes images, cosign, which signs them, Gitea, what Argo Events and
# Tekton run for an example of ours, and an issuer of OIDC tokens. Gitea stores its data in SQLite, which needs a C
# compiler. Arguments select programs: registry, crane, gitea, cosign, argo-events, tekton, issuer.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/senders
mkdir -p "$bin"
[ $# -gt 0 ] || set -- registry crane gitea cosign argo-events tekton issuer

build() { # program, directory below hack, module, package, about how long the first build takes, flags
    local version start=$SECONDS
    version=$(go list -C "$repo/hack/$2" -m -f '{{.Version}}' "$3")
    if [ "$(go version -m "$bin/$1" 2>/dev/null | awk -v module="$3" '$1 ~ /^(mod|dep)$/ && $2 == module {print $3}')" = "$version" ]; then
        echo "$1 $version: already there"
        return
    fi
    echo "$1 $version: building ($5 on two cores the first time, seconds afterwards)..."
    rm -f "$bin/$1"
    go build -C "$repo/hack/$2" -ldflags '-s -w' -o "$bin/$1" "${@:6}" "$4"
    echo "$1 $version: built in $((SECONDS - start)) s"
}

gitea() {
    if ! command -v cc >/dev/null; then
        echo 'cc: installing gcc with apt-get...'
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends gcc libc6-dev >/dev/null
    fi
    # With Go's own resolvers of names and users, all that needs no C is the same as in other builds.
    CGO_ENABLED=1 build gitea gitea code.gitea.io/gitea code.gitea.io/gitea 'up to 20 minutes' \
        -tags=sqlite,sqlite_unlock_notify,netgo,osusergo
    # Gitea reads its templates and translations from its module.
    ln -sfn "$(go list -C "$repo/hack/gitea" -m -f '{{.Dir}}' code.gitea.io/gitea)" "$bin/gitea-static"
}

export CGO_ENABLED=0
crane=github.com/google/go-containerregistry
for program; do
    case $program in
    registry) build registry registry github.com/distribution/distribution/v3 . '1 minute' ;;
    crane) build crane registry $crane $crane/cmd/crane '1 minute' ;;
    gitea) gitea ;;
    argo-events) build argo-events argoevents github.com/argoproj/argo-events . '2 minutes' ;;
    tekton) build tekton tekton github.com/tektoncd/pipeline . '3 minutes' ;;
    issuer) build issuer issuer github.com/zitadel/oidc/v3 . '1 minute' ;;
    cosign) build cosign cosign github.com/sigstore/cosign/v3 . 'up to 20 minutes' ;;
    *)
        echo "unknown program: $program" >&2
        exit 2
        ;;
    esac
done
