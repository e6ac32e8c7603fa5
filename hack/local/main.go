// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command local runs Postern behind a real control plane on this machine, for trying and developing it: "up" leaves it
// running, "down" stops it, and "demo" runs the main jobs and leaves nothing behind. It is started by make, which
// builds its dependencies. Package test/controlplane runs the control plane.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: local COMMAND [flags]

  up    start a control plane with Postern and sample objects, and leave it running
  down  stop it and remove its state
  demo  run the main jobs against a temporary control plane
`

func main() {
	// A second signal exits the program at once, and its child processes with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "FAILED: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("a command is required\n%s", usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "up":
		return up(ctx)
	case "down":
		keep := flags.Bool("keep", false, "do not remove the state; the next up continues with it")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return down(ctx, *keep)
	case "demo":
		verbose := flags.Bool("v", false, "show each request and its effect")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return demo(ctx, os.Stdout, *verbose)
	}
	return fmt.Errorf("unknown command %q\n%s", args[0], usage)
}
