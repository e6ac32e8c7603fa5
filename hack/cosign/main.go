// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command cosign is cosign without the key management services of clouds, which take much of the time to build it.
package main

import (
	"fmt"
	"os"

	"github.com/sigstore/cosign/v3/cmd/cosign/cli"
)

func main() {
	if err := cli.New().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
