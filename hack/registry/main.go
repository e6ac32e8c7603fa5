// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command registry is the CNCF Distribution registry without the storage drivers of clouds, which take most of the time
// to build it.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
)

func main() {
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
