#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts etcd, kube-apiserver and kubectl into bin/k8s, in the versions that hack/tools/go.mod names. They are linked from
# the directory KUBEBUILDER_ASSETS if that has all three, and else built from their Go modules.
#
# With arguments, puts those programs of Kubernetes there instead: kube-controller-manager for a few tests, and kubelet,
# kube-proxy and kube-scheduler for a node. No KUBEBUILDER_ASSETS hold them, so they are always built.
#
# With the variable K8S_VERSION, such as 1.31.14, it builds that version of Kubernetes into bin/k8s-1.31.14. Only etcd
# is the same.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/k8s${K8S_VERSION:+-$K8S_VERSION}
programs=(etcd kube-apiserver kubectl)

version_of() { # module
    go list -C "$repo/hack/tools" -m -f '{{.Version}}' "$1"
}

# Downloads Kubernetes of the version in K8S_VERSION, sets source to its directory, and writes a go.mod to bin.
#
# Its own go.mod has the modules that are developed with it at v0.0.0, and replaces them by directories that its module
# does not contain. Here their published versions replace them. A module without one is left out; a program that needs
# it does not build.
prepare_source() {
    local module version minor patch edits=()
    source=$(cd / && go mod download -json "k8s.io/kubernetes@$kubernetes" | awk -F '"' '$2 == "Dir" {print $4}') || {
        echo "the Go module proxy does not have k8s.io/kubernetes@$kubernetes, of K8S_VERSION" >&2
        return 1
    }
    mkdir -p "$bin"
    [ ! -f "$bin/go.mod" ] || return 0
    IFS=. read -r _ minor patch <<<"$kubernetes"
    for module in $(awk '$2 == "v0.0.0" {print $1}' "$source/go.mod"); do
        version=$(staging_version "$module" "$minor" "$patch")
        if [ "$version" != "v0.$minor.$patch" ]; then
            echo "$module: the module proxy does not have v0.$minor.$patch, using ${version:-nothing}"
        fi
        if [ -n "$version" ]; then
            edits+=("-replace=$module=$module@$version")
        else
            edits+=("-droprequire=$module" "-dropreplace=$module")
        fi
    done
    cp "$source/go.mod" "$bin/new.mod"
    cp "$source/go.sum" "$bin/go.sum"
    chmod u+w "$bin/new.mod" "$bin/go.sum"
    go mod edit "${edits[@]}" "$bin/new.mod"
    mv "$bin/new.mod" "$bin/go.mod"
}

# Prints the version of a module that is developed with Kubernetes 1.MINOR.PATCH: v0.MINOR.PATCH. Some module proxies do
# not have all of them; then it is the newest patch before that can be downloaded, or nothing.
staging_version() { # module, minor, patch
    local patches candidate problem
    patches=$(go list -C "$repo" -m -versions "$1" | tr ' ' '\n' | sed -n "s/^v0\.$2\.\([0-9]*\)$/\1/p" | sort -rn)
    for candidate in "$3" $patches; do
        [ "$candidate" -le "$3" ] || continue
        if problem=$(cd / && go mod download "$1@v0.$2.$candidate" 2>&1); then
            echo "v0.$2.$candidate"
            return
        fi
        grep -qE 'not found|: (403|404|410) ' <<<"$problem" || { echo "$problem" >&2; return 1; }
    done
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

# The programs to build, and how many have been looked at.
steps=0 step=0

build() { # program, version, package, about how long the first build takes
    step=$((step + 1))
    local what="[$step/$steps] $1 $2"
    if [ "$(installed "$1")" = "$2" ]; then
        echo "$what: already there"
        return
    fi
    echo "$what: building ($4 on two cores the first time, seconds afterwards)..."
    local ldflags='-s -w'
    [ "$1" = etcd ] || ldflags=$(kubernetes_ldflags "$2")
    rm -f "$bin/$1" # it may be a link into KUBEBUILDER_ASSETS
    local modules=(-C="$repo/hack/tools")
    if [ -n "${K8S_VERSION:-}" ] && [ "$1" != etcd ]; then
        modules=(-C="$source" -modfile="$bin/go.mod" -mod=mod)
    fi
    GOWORK=off CGO_ENABLED=0 "$repo/hack/build.sh" "$what" "${modules[@]}" -ldflags "$ldflags" -o "$bin/$1" "$3"
}

if [ -n "${K8S_VERSION:-}" ]; then
    kubernetes=v$K8S_VERSION
    prepare_source
else
    mkdir -p "$bin"
    kubernetes=$(version_of k8s.io/kubernetes)
fi
if [ $# -gt 0 ]; then
    steps=$#
    for program in "$@"; do
        build "$program" "$kubernetes" "k8s.io/kubernetes/cmd/$program" '1 to 5 minutes'
    done
    exit
fi
if [ -z "${K8S_VERSION:-}" ] && [ -n "${KUBEBUILDER_ASSETS:-}" ] && ! [ "$KUBEBUILDER_ASSETS" -ef "$bin" ]; then
    link_assets && exit
    echo "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS does not hold ${programs[*]}; building them instead"
fi
steps=${#programs[@]}
build etcd "$(version_of go.etcd.io/etcd/server/v3)" go.etcd.io/etcd/server/v3 '40 seconds'
build kubectl "$kubernetes" k8s.io/kubernetes/cmd/kubectl '1 minute'
build kube-apiserver "$kubernetes" k8s.io/kubernetes/cmd/kube-apiserver '6 to 10 minutes'
