#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts etcd, kube-apiserver and kubectl into bin/k8s, in the versions that hack/tools/go.mod names. They are linked from
# the directory KUBEBUILDER_ASSETS if that has all three, and else built from their Go modules.
#
# With arguments, puts those programs of Kubernetes there instead: kube-controller-manager for a few tests, and kubelet,
# kube-proxy and kube-scheduler for a node. No KUBEBUILDER_ASSETS hold them, so they are always built.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/k8s
programs=(etcd kube-apiserver kubectl)
mkdir -p "$bin"

version_of() { # module
    go list -C "$repo/hack/tools" -m -f '{{.Version}}' "$1"
}

# Prints the version that a program in bin/k8s says it has, or nothing.
installed() { # program
    [ -x "$bin/$1" ] || return 0
    case $1 in
    etcd) "$bin/etcd" --version | awk '/^etcd Version:/ {print "v" $3}' ;;
    kubectl) "$bin/kubectl" version --client | awk '/^Client Version:/ {print $3}' ;;
    *) "$bin/$1" --version | awk '{print $2}' ;;
    esac
}

link_assets() {
    local program
    for program in "${programs[@]}"; do
        [ -x "$KUBEBUILDER_ASSETS/$program" ] || return 1
    done
    for program in "${programs[@]}"; do
        ln -sfn "$(cd "$KUBEBUILDER_ASSETS" && pwd)/$program" "$bin/$program"
        echo "$program $(installed "$program"): linked from $KUBEBUILDER_ASSETS"
    done
}

# Without these the programs report v0.0.0-master, which clients cannot parse.
kubernetes_ldflags() { # version
    local package minor=${1#v*.}
    printf -- '-s -w'
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- ' -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
            "$package" "$1" "$package" "$package" "${minor%%.*}" "$package"
    done
}

build() { # program, version, package, about how long the first build takes
    if [ "$(installed "$1")" = "$2" ]; then
        echo "$1 $2: already there"
        return
    fi
    echo "$1 $2: building ($4 on two cores the first time, seconds afterwards)..."
    local start=$SECONDS ldflags='-s -w'
    [ "$1" = etcd ] || ldflags=$(kubernetes_ldflags "$2")
    rm -f "$bin/$1" # it may be a link into KUBEBUILDER_ASSETS
    CGO_ENABLED=0 go build -C "$repo/hack/tools" -ldflags "$ldflags" -o "$bin/$1" "$3"
    echo "$1 $2: built in $((SECONDS - start)) s"
}

kubernetes=$(version_of k8s.io/kubernetes)
if [ $# -gt 0 ]; then
    for program in "$@"; do
        build "$program" "$kubernetes" "k8s.io/kubernetes/cmd/$program" '1 to 5 minutes'
    done
    exit
fi
if [ -n "${KUBEBUILDER_ASSETS:-}" ] && ! [ "$KUBEBUILDER_ASSETS" -ef "$bin" ]; then
    link_assets && exit
    echo "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS does not hold ${programs[*]}; building them instead"
fi
build etcd "$(version_of go.etcd.io/etcd/server/v3)" go.etcd.io/etcd/server/v3 '40 seconds'
build kubectl "$kubernetes" k8s.io/kubernetes/cmd/kubectl '1 minute'
build kube-apiserver "$kubernetes" k8s.io/kubernetes/cmd/kube-apiserver '6 to 10 minutes'
