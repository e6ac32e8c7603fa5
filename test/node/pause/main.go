// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command pause is the program of the container that holds the namespaces of a Pod. It waits until it is stopped.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
