// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures what Postern costs, against a real control plane that it starts for that: deliveries side by
// side with plain writes of the same client to the same kube-apiserver, and what Postern itself needs of memory and time.
// It prints tables and writes them to a file. "make bench" builds what it needs and runs it in the root of the checkout.
//
// Only figures of one run are to be compared, and of those the ratios tell more than the times.
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

// objectsVariable is how many objects of each kind the figure of memory is for; a smaller number saves time.
const objectsVariable = "BENCH_OBJECTS"

// settings are the flags.
type settings struct {
	only       *regexp.Regexp
	rounds     int
	duration   time.Duration
	objects    int
	jsonPath   string
	cpuProfile bool
}

func main() {
	// A second signal ends the program at once; what it has started dies with it.
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
	failed := b.measure(ctx)
	// Minutes of measuring are not thrown away because of what went wrong at the end.
	return errors.Join(failed, b.publish())
}

// publish prints and stores what was measured.
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

// parse reads the flags. objects is the number of objects from the environment, empty if there is none.
func parse(args []string, objects string) (settings, error) {
	s := settings{objects: 10_000, only: regexp.MustCompile("")}
	if objects != "" {
		var err error
		if s.objects, err = strconv.Atoi(objects); err != nil {
			return s, fmt.Errorf("%s must be a number: %w", objectsVariable, err)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Func("only", "measure only the figures of which the name matches this regular `expression`: "+figureNames(), func(value string) (err error) {
		s.only, err = regexp.Compile(value)
		return err
	})
	flags.IntVar(&s.rounds, "rounds", 5, "how many rounds each side is measured, in turns with the other")
	flags.DurationVar(&s.duration, "duration", 2*time.Second, "how long a round lasts")
	flags.StringVar(&s.jsonPath, "json", ".local/bench.json", "the `file` that the report is written to")
	flags.BoolVar(&s.cpuProfile, "cpuprofile", false,
		"after the rounds of throughput and one-target, take CPU profiles of Postern and of the kube-apiserver, beside the report")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("there are only flags, and %q is none", flags.Arg(0))
	}
	if s.rounds < 1 || s.duration <= 0 || s.objects < 1 {
		return s, errors.New("rounds, duration and the number of objects must be above zero")
	}
	return s, nil
}
