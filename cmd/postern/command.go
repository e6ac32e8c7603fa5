// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"

	"postern.dev/postern/pkg/version"
)

// newCommand returns the command. It runs until ctx is done.
func newCommand(ctx context.Context) *cobra.Command {
	o := newOptions()
	cmd := &cobra.Command{
		Use:   "postern",
		Short: "Webhooks through the kube-apiserver",
		Long: "Postern is an aggregated API server. Senders POST their webhooks through the kube-apiserver to a " +
			"webhookdeliveries\n" +
			"subresource; Postern writes the ref that a webhook asks for to GatewaySync and Application objects.",
		Version:      version.Get().String(),
		Args:         cobra.NoArgs,
		SilenceUsage: true, // the list of flags would hide the error
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logsapi.ValidateAndApply(o.logging, nil); err != nil {
				return fmt.Errorf("could not set up logging: %w", err)
			}
			if err := errors.Join(o.readEnvironment(cmd.Flags(), os.Getenv), o.validate()); err != nil {
				return err
			}
			err := run(ctx, o)
			if errors.Is(err, errRestartRequired) {
				return reexec(ctx)
			}
			return err
		},
	}
	cmd.SetVersionTemplate("postern {{.Version}}\n")
	flags := o.flags()
	for _, set := range flags.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	const wholeLines = 0
	cliflag.SetUsageAndHelpFunc(cmd, flags, wholeLines)
	return cmd
}
