// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
)

const (
	// requestTimeout bounds the requests of a command.
	requestTimeout = 30 * time.Second
	// fieldManager owns what the commands write.
	fieldManager = "kubectl-postern"
	// documentation is where the pages of docs are.
	documentation = "https://github.com/postern-dev/postern/blob/main/docs/"
)

// pageOf returns the address of the page of a sender.
func pageOf(f form) string { return documentation + "senders/" + f.Page + ".md" }

func addSourceFlag(command *cobra.Command, source *string) {
	command.Flags().StringVar(source, "source", "", "Type of the sender, such as github or harbor.")
	_ = command.RegisterFlagCompletionFunc("source", cli.CompleteSources)
}
