#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts Traefik, an ingress controller, and its CRDs into bin/network, for "make e2e", in the version that
# hack/traefik/go.mod names. It is only for tests.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$repo/bin/network
mkdir -p "$bin"
export CGO_ENABLED=0

hack=$repo/hack/traefik
module=github.com/traefik/traefik/v3
lego=github.com/go-acme/lego/v4

required() { # module
    awk -v module="$1" '$1 == module {print $2}' "$hack/go.mod"
}

version=$(required "$module")
if [ "$(go version -m "$bin/traefik" 2>/dev/null | awk -v module="$module" '$1 ~ /^(mod|dep)$/ && $2 == module {print $3}')" = "$version" ]; then
    echo "traefik $version: already there"
    exit
fi

# Traefik obtains certificates with lego, whose clients of 150 DNS providers are a third of all packages. A copy of lego
# without them, which hack/traefik/go.mod replaces it with, can do all else.
rm -rf "$bin/lego" "$bin/traefik"
cp -R "$(go mod download -json "$lego@$(required "$lego")" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')" "$bin/lego"
chmod -R u+w "$bin/lego"
find "$bin/lego/providers/dns" -mindepth 1 -maxdepth 1 ! -name internal -exec rm -r {} +
cat >"$bin/lego/providers/dns/dns.go" <<'GO'
package dns

import (
	"errors"

	"github.com/go-acme/lego/v4/challenge"
)

// NewDNSChallengeProviderByName knows no provider.
func NewDNSChallengeProviderByName(string) (challenge.Provider, error) {
	return nil, errors.New("this build has no DNS providers")
}
GO

echo "traefik $version: building (9 minutes on two busy cores the first time, seconds afterwards)..."
"$repo/hack/build.sh" traefik -C="$hack" -ldflags='-s -w' -o "$bin/traefik" "$module/cmd/traefik"
reference=$(go list -C "$hack" -m -f '{{.Dir}}' "$module")/docs/content/reference
install -m 644 "$reference/dynamic-configuration/kubernetes-crd-definition-v1.yml" "$bin/traefik-crds.yaml"
