// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-postern is a plugin of kubectl for those who send webhooks to Postern, or wait for what they do:
// kubectl runs it as "kubectl postern".
package main

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the ways to authenticate that kubeconfigs can have, as in kubectl

	"postern.dev/postern/cmd/kubectl-postern/app"
)

func main() {
	os.Exit(app.Run(os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}
