// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the cost of Postern against a real control plane that it starts. It compares deliveries with
// plain writes of the same client to the same kube-apiserver, and with receivers of others, and measures Postern's
// memory, start and idle cost. It prints tables and writes them to a file. "make bench" builds the dependencies and
// runs it in the root of the checkout.
//
// Compare only figures of one run, and prefer ratios to times.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// objectsVariable is the number of objects of each kind, or of records, where there are very many; a smaller number
// saves time.
const objectsVariable = "BENCH_OBJECTS"

type settings struct {
	only       *regexp.Regexp
	rounds     int
	duration   time.Duration
	objects    int
	jsonPath   string
	cpuProfile bool
	peers      peers
}

func main() {
	// A second signal ends the program at once, and its child processes with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "FAILED: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args, os.Getenv(objectsVariable))
	if err != nil {
		return err
	}
	b := &bench{settings: s, report: newReport(ctx, s)}
	if note := b.report.Machine.busy(); note != "" {
		b.warn("%s", note)
	}
	if err := checkPerf(ctx); err != nil {
		b.note("Instructions can't be counted: %v.", err)
	} else {
		b.hasPerf = true
	}
	failed := b.measure(ctx)
	// A failure at the end must not discard minutes of measurements.
	return errors.Join(failed, b.publish())
}

func (b *bench) publish() error {
	if err := b.report.print(os.Stdout); err != nil {
		return fmt.Errorf("could not print the report: %w", err)
	}
	if err := b.report.write(b.jsonPath); err != nil {
		return err
	}
	fmt.Printf("\nAll of it is in %s.\n", b.jsonPath)
	return nil
}

// parse reads the flags. objects is the value of the environment variable, empty if unset.
func parse(args []string, objects string) (settings, error) {
	s := settings{objects: 10_000, only: regexp.MustCompile("")}
	if objects != "" {
		var err error
		if s.objects, err = strconv.Atoi(objects); err != nil {
			return s, fmt.Errorf("%s must be a number: %w", objectsVariable, err)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Func("only", "measure only what matches this regular `expression`: "+figureNames()+" (the last two only "+
		"with this flag)",
		func(value string) (err error) {
			s.only, err = regexp.Compile(value)
			return err
		})
	flags.IntVar(&s.rounds, "rounds", 5, "how many rounds each side is measured, alternating with the other")
	flags.DurationVar(&s.duration, "duration", 2*time.Second, "how long a round lasts")
	flags.StringVar(&s.jsonPath, "json", ".local/bench.json", "the `file` that the report is written to")
	flags.BoolVar(&s.cpuProfile, "cpuprofile", false,
		"after the rounds of throughput and one-target, and of an idle Postern, take CPU profiles of Postern and of "+
			"the kube-apiserver, next to the report")
	flags.Func("peer", "also measure the receiver `name=url` of others; {namespace} and {name} in the URL stand for "+
		"those of the GatewaySync, and its certificate is not verified", s.peers.set((*receiver).setURL))
	flags.Func("peer-header", "a header of the requests to a peer: `name=Header: value`",
		s.peers.set((*receiver).addHeader))
	flags.Func("peer-command", "start a peer with `name=command` of sh, with an administrator's KUBECONFIG of the "+
		"control plane; its last program must be called with exec", s.peers.set((*receiver).setCommand))
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: only flags are accepted", flags.Arg(0))
	}
	if s.rounds < 1 || s.duration <= 0 || s.objects < 1 {
		return s, errors.New("rounds, duration and the number of objects must be above zero")
	}
	return s, s.peers.check()
}
