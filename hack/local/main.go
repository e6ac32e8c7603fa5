// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command local runs Postern behind a real control plane on this machine, for people who want to try or to change it:
// "up" leaves it running, "down" ends it, and "demo" plays the main jobs and leaves nothing behind. It is started by
// make, which builds what it needs. How a control plane is run is the business of test/controlplane.
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
  demo  play the main jobs against a control plane of its own
`

func main() {
	// A second signal ends the program at once; what it has started dies with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "FAILED: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command is given\n%s", usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "up":
		return up(ctx)
	case "down":
		keep := flags.Bool("keep", false, "do not remove the state; the next up goes on with it")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return down(ctx, *keep)
	case "demo":
		return demo(ctx)
	}
	return fmt.Errorf("there is no command %q\n%s", args[0], usage)
}
