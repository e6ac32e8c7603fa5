// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command postern serves the postern.dev API behind a kube-apiserver. It receives webhooks, and writes the refs that
// they request to GatewaySync and Application objects.
package main

import (
	"fmt"
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"postern.dev/postern/cmd/postern/app"
	"postern.dev/postern/pkg/logrelay"
)

func main() { os.Exit(run()) }

func run() int {
	relays, err := logrelay.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	flushLog := func() {
		klog.Flush()
		relays.Close()
	}
	defer flushLog()
	return cli.Run(app.NewCommand(ctrl.SetupSignalHandler(), flushLog))
}
