// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
)

type options struct {
	factory   *cli.Factory
	port      uint16
	noBrowser bool
}

// NewCommand returns the command ui.
func NewCommand(f *cli.Factory) *cobra.Command {
	o := &options{factory: f}
	command := &cobra.Command{
		Use:   "ui",
		Short: "Show deliveries, senders and rates in a browser",
		Long: `Serve a page that shows deliveries, senders and rates, and open it in a browser.

The page is served on loopback by this command, until you press Ctrl-C, and has your permissions. Nothing runs in the
cluster. Only a browser that has opened the printed address can use it.`,
		Example: `  # Open the page for the namespace of the context
  kubectl postern ui

  # Open it for another namespace
  kubectl postern ui -n demo

  # Only print the address, with a fixed port, to use it through ssh -L 8200:127.0.0.1:8200
  kubectl postern ui --no-browser --port=8200`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	command.Flags().Uint16Var(&o.port, "port", 0, "Port on loopback. By default any free one.")
	command.Flags().BoolVar(&o.noBrowser, "no-browser", false, "Only print the address, and do not open a browser.")
	return command
}

func (o *options) run(ctx context.Context) error {
	cluster, err := o.factory.Cluster()
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(o.port))))
	if err != nil {
		return fmt.Errorf("could not serve the page: %w", err)
	}
	defer listener.Close()
	s, err := newServer(ctx, cluster, listener)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(o.factory.Out, "%s\n", s.address(listener, s.gate.token))
	_, _ = fmt.Fprintln(o.factory.ErrOut,
		"Keep the address to yourself: it has your permissions. Press Ctrl-C to stop.")
	if !o.noBrowser {
		if err := openBrowser(ctx, s.address(listener, s.gate.launch)); err != nil {
			_, _ = fmt.Fprintln(o.factory.ErrOut, "Could not start a browser: open the address yourself.")
		}
	}
	return s.serve(ctx, listener)
}
