// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package records has the commands about recorded deliveries: they list, explain, compare and repeat them.
package records

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
)

// NewCommands returns all commands of the package.
func NewCommands(f *cli.Factory) []*cobra.Command {
	return []*cobra.Command{
		NewDeliveriesCommand(f), NewWhyCommand(f), NewRedeliverCommand(f), NewDiffCommand(f), NewExplainImageCommand(f),
	}
}
