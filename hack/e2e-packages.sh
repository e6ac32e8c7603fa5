#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Installs what "make e2e" needs besides Go, git and make: a container runtime, what the kubelet and kube-proxy call,
# and a builder of images. For Debian and its descendants.
set -euo pipefail

[ "$(id -u)" = 0 ] || {
    echo "hack/e2e-packages.sh: root has to run this, since it installs packages" >&2
    exit 1
}
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    containerd runc containernetworking-plugins \
    nftables iptables conntrack ipset ethtool iproute2 kmod util-linux socat \
    buildah debootstrap
