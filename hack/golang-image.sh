#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Puts the image golang that the Dockerfile begins with into a storage of buildah, whose options are the arguments. It
# is pulled, or where no registry can be reached made of Debian's packages and of this machine's Go.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=$(sed -n 's/^ARG GO_VERSION=//p' "$repo/Dockerfile")
image=docker.io/library/golang:$version
buildah=(buildah "$@")

if "${buildah[@]}" inspect --type=image "$image" > /dev/null 2>&1; then
    echo "$image: already there"
    exit
fi
if timeout 120 "${buildah[@]}" pull --quiet "$image" 2> /dev/null; then
    echo "$image: pulled"
    exit
fi
goroot=$(go env GOROOT)
[ "$(go env GOVERSION)" = "go$version" ] || {
    echo "$image can't be pulled, and can't be made with $(go env GOVERSION)" >&2
    exit 1
}
echo "$image: making it of Debian's packages (about a minute)..."
root=$(mktemp -d)
container=$("${buildah[@]}" from scratch)
trap 'rm -rf --one-file-system "$root"; "${buildah[@]}" rm "$container" > /dev/null' EXIT
debootstrap --variant=minbase --include=ca-certificates,git,make stable "$root" > "$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    exit 1
}
rm "$root.log"
! grep -q " $root/" /proc/mounts || {
    echo "debootstrap has left something mounted in $root" >&2
    exit 1
}
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # also of a proxy that this machine trusts
cp -a "$goroot" "$root/usr/local/go"
"${buildah[@]}" copy --quiet "$container" "$root" / > /dev/null
"${buildah[@]}" config --workingdir=/go --env=GOPATH=/go --env=GOTOOLCHAIN=local \
    --env=PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
"${buildah[@]}" commit --quiet "$container" "$image" > /dev/null
echo "$image: made"
