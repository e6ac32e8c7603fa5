// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command postern serves the postern.dev API behind a kube-apiserver. It receives webhooks, and writes the refs that
// they request to GatewaySync and Application objects.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	ctrl "sigs.k8s.io/controller-runtime"

	"postern.dev/postern/cmd/postern/app"
)

func main() {
	os.Exit(cli.Run(app.NewCommand(ctrl.SetupSignalHandler())))
}
