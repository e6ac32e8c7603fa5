// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command postern serves the postern.dev API behind a kube-apiserver. It receives webhooks, and writes the refs that
// they request to GatewaySync and Application objects.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	os.Exit(cli.Run(newCommand(ctrl.SetupSignalHandler())))
}
