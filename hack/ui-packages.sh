#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Installs what "make test-ui" needs besides Go, git and make: a browser with fonts, and npm. For Debian and its
# descendants.
set -euo pipefail

[ "$(id -u)" = 0 ] || {
    echo "hack/ui-packages.sh: root has to run this, since it installs packages" >&2
    exit 1
}
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-noto-core fonts-noto-mono
command -v npm >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends npm
