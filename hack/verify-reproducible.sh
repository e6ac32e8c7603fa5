#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Builds the program twice, in directories of different names, the second time with an empty build cache, so that it
# reuses nothing of the first. Fails unless both have the same bytes, need no library, and know their version.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

copy() { # directory
    mkdir -p "$1"
    git -C "$repo" ls-files -z --cached --others --exclude-standard --deduplicate |
        while IFS= read -r -d '' file; do if [ -e "$repo/$file" ]; then printf '%s\0' "$file"; fi; done |
        tar -C "$repo" --null --files-from=- -cf - | tar -C "$1" -xf -
}

build() { # directory
    local start=$SECONDS
    # As in the build of an image, there is no git and there are no flags of the caller for Go.
    GOFLAGS='' make --no-print-directory -C "$1" release RELEASE=postern \
        VERSION="$VERSION" REVISION="$REVISION" DATE="$DATE"
    echo "built in $((SECONDS - start)) s: $(sha256sum "$1/postern" | cut -d' ' -f1)"
}

first=$scratch/first second=$scratch/a/longer/path/second
copy "$first"
copy "$second"
build "$first"
GOCACHE=$scratch/cache build "$second"
cmp "$first/postern" "$second/postern"

said=$("$first/postern" --version)
case $said in
"postern $VERSION (commit $REVISION of $DATE, "*) echo "$said" ;;
*)
    echo "--version says: $said" >&2
    exit 1
    ;;
esac
if grep -qaF -e "$scratch" -e "$repo/" "$first/postern"; then
    echo 'the program holds the path that it was built in' >&2
    exit 1
fi
echo 'The same bytes.'
