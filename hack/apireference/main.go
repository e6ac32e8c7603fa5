// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command apireference prints docs/reference/api.md, the API as described by its OpenAPI definitions.
package main

import (
	"fmt"
	"os"
)

func main() {
	page, err := reference()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(page)
}
