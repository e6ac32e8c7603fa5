// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// deliveriesOptions are the flags of `deliveries`.
type deliveriesOptions struct {
	*cli.Factory
	output        cli.Output
	allNamespaces bool
	source, phase string
	watch         bool
	limit         int
	noHeaders     bool
}

// defaultLimit and maxWatched bound the deliveries that are listed by default, and that can be watched.
const (
	defaultLimit = 50
	maxWatched   = 1000
)

// NewDeliveriesCommand returns the command `deliveries`.
func NewDeliveriesCommand(f *cli.Factory) *cobra.Command {
	o := &deliveriesOptions{Factory: f}
	command := &cobra.Command{
		Use:     "deliveries [KIND/NAME]",
		Aliases: []string{"delivery", "whd"},
		Short:   "List recent deliveries, the newest first",
		Long: `List recent deliveries, the newest first.

With a target, list those that named it and those that found it because of what was pushed. With --watch, a terminal
shows the newest deliveries as they change; if the output goes elsewhere, each one is a line when it is recorded or
changes, the oldest first.`,
		Example: `  # The last 50 deliveries in the namespace
  kubectl postern deliveries

  # What reached one target
  kubectl postern deliveries application/shop

  # What failed, in all namespaces, and why
  kubectl postern deliveries -A --phase Failed -o wide

  # Watch what GitHub sends
  kubectl postern deliveries --source github -w`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cli.CompleteArgs(f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), args)
		},
	}
	o.output.AddFlag(command, cli.OutputWide, cli.OutputJSON, cli.OutputYAML, cli.OutputName)
	flags := command.Flags()
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "List the deliveries of all namespaces.")
	flags.StringVar(&o.source, "source", "", "Only deliveries of this type of sender.")
	flags.StringVar(&o.phase, "phase", "",
		"Only deliveries in this phase: Pending, Held, Applied, Superseded, Ignored or Failed.")
	flags.BoolVarP(&o.watch, "watch", "w", false, "After listing, watch for changes.")
	flags.IntVar(&o.limit, "limit", defaultLimit, "How many of the newest deliveries are listed; 0 lists all.")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "Print no headers of columns.")
	_ = command.RegisterFlagCompletionFunc("source", cli.CompleteSources)
	_ = command.RegisterFlagCompletionFunc("phase", cobra.FixedCompletions(phases, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// phases are the phases of deliveries.
var phases = []string{
	string(v1alpha1.DeliveryPending), string(v1alpha1.DeliveryHeld), string(v1alpha1.DeliveryApplied),
	string(v1alpha1.DeliverySuperseded), string(v1alpha1.DeliveryIgnored), string(v1alpha1.DeliveryFailed),
}

func (o *deliveriesOptions) run(ctx context.Context, args []string) error {
	q, err := o.query(args)
	if err != nil {
		return err
	}
	cluster, err := o.Cluster()
	if err != nil {
		return err
	}
	if !o.allNamespaces {
		q.namespace = cluster.Namespace
	}
	if o.output.Format == cli.OutputJSON || o.output.Format == cli.OutputYAML {
		return o.printObjects(ctx, cluster, q)
	}
	client, err := newTableClient(cluster)
	if err != nil {
		return err
	}
	if o.watch {
		return o.follow(ctx, client, q)
	}
	l, err := q.list(ctx, client, o.limit)
	if err != nil {
		return err
	}
	return o.printList(l, q)
}

// query checks the flags, and returns what they select.
func (o *deliveriesOptions) query(args []string) (query, error) {
	q := query{selector: fields.Set{}}
	if err := o.output.Validate(); err != nil {
		return q, err
	}
	switch {
	case o.limit < 0:
		return q, errors.New("--limit must not be negative")
	case o.watch && (o.limit == 0 || o.limit > maxWatched):
		return q, fmt.Errorf("--watch shows at most %d deliveries: set --limit", maxWatched)
	case o.watch && (o.output.Format == cli.OutputJSON || o.output.Format == cli.OutputYAML):
		return q, fmt.Errorf("--watch prints no %s: use kubectl get webhookdeliveries --watch", o.output.Format)
	}
	if len(args) > 0 {
		target, err := cli.ParseTarget(args[0])
		if err != nil {
			return q, err
		}
		q.target = &target
	}
	if o.source != "" {
		if err := cli.CheckSource(o.source); err != nil {
			return q, err
		}
		q.selector[v1alpha1.FieldSource] = o.source
	}
	if o.phase != "" {
		i := slices.IndexFunc(phases, func(phase string) bool { return strings.EqualFold(phase, o.phase) })
		if i < 0 {
			return q, fmt.Errorf("%s is no phase: use one of %s", cli.Quote(o.phase), strings.Join(phases, ", "))
		}
		q.selector[v1alpha1.FieldPhase] = phases[i]
	}
	return q, nil
}

func (o *deliveriesOptions) printer() printers.ResourcePrinter {
	if o.output.Format == cli.OutputName {
		return namePrinter{}
	}
	return printers.NewTablePrinter(o.printOptions())
}

func (o *deliveriesOptions) printOptions() printers.PrintOptions {
	return printers.PrintOptions{
		Wide: o.output.Format == cli.OutputWide, WithNamespace: o.allNamespaces, NoHeaders: o.noHeaders,
	}
}

func (o *deliveriesOptions) printList(l listing, q query) error {
	if len(l.rows) == 0 {
		_, err := fmt.Fprintln(o.ErrOut, nothingFound(q))
		return err
	}
	if err := o.printer().PrintObj(tableOf(l.rows, time.Now()), o.Out); err != nil {
		return err
	}
	if more := l.total - len(l.rows); more > 0 {
		_, _ = fmt.Fprintf(o.ErrOut, "%d older deliveries are not shown: use --limit.\n", more)
	}
	return nil
}

// nothingFound says what was not found.
func nothingFound(q query) string {
	what := "No deliveries"
	if phase := q.selector[v1alpha1.FieldPhase]; phase != "" {
		what = "No " + phase + " deliveries"
	}
	if source := q.selector[v1alpha1.FieldSource]; source != "" {
		what += " of " + source
	}
	if q.target != nil {
		what += " to " + strings.ToLower(string(q.target.Kind)) + "/" + q.target.Name
	}
	if what += " found"; q.namespace != "" {
		what += " in namespace " + q.namespace
	}
	return what + "."
}

// follow watches the deliveries until ctx ends, which is no failure.
func (o *deliveriesOptions) follow(ctx context.Context, client rest.Interface, q query) error {
	file, isFile := o.Out.(interface{ Fd() uintptr })
	if !isFile || !printers.IsTerminal(o.Out) || o.output.Format == cli.OutputName {
		return q.follow(ctx, client, o.limit, &lines{o.Out, o.ErrOut, o.printer(), time.Now})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	display, drawn := newLive(), make(chan error, 1)
	go func() {
		defer stop()
		drawn <- display.run(&screen{
			out: o.Out, options: o.printOptions(), clock: clock.RealClock{},
			size: func() (width, height int) { return terminalSize(file.Fd()) },
		}, ctx.Done())
	}()
	err := q.follow(ctx, client, o.limit, display)
	stop()
	return errors.Join(err, <-drawn)
}

// terminalSize returns the size of a terminal; that of the first terminals if it is unknown.
func terminalSize(fd uintptr) (width, height int) {
	width, height, err := term.GetSize(int(fd))
	if err != nil {
		return 80, 24
	}
	return width, height
}

// printObjects prints whole deliveries.
func (o *deliveriesOptions) printObjects(ctx context.Context, cluster *cli.Cluster, q query) error {
	found, err := q.objects(ctx, cluster, o.limit)
	if err != nil {
		return err
	}
	_, err = o.output.Print(o.Out, found)
	return err
}
