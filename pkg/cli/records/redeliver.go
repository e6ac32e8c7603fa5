// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
)

// redeliverOptions are the flags of `redeliver`.
type redeliverOptions struct {
	*cli.Factory
	output  cli.Output
	dryRun  string
	yes     bool
	wait    bool
	timeout time.Duration
}

// The values of --dry-run, as kubectl has them.
const (
	dryRunNone   = "none"
	dryRunServer = "server"
)

// NewRedeliverCommand returns the command `redeliver`.
func NewRedeliverCommand(f *cli.Factory) *cobra.Command {
	o := &redeliverOptions{Factory: f}
	command := &cobra.Command{
		Use:   "redeliver NAME",
		Short: "Deliver again what a record requested, however old it is",
		Long: `Deliver again what a record requested, however old it is: to roll back, or after the cause of a failure
is mended. The new delivery is yours, and policies apply to it.

On a terminal, the command shows what would change and asks first, unless --yes is given. It waits until the new
delivery has ended. The exit code is 0 if it was applied, and 2 if not, or if you declined.`,
		Example: `  # Go back to what this delivery requested
  kubectl postern redeliver github-4zv9d

  # Only show what would change
  kubectl postern redeliver github-4zv9d --dry-run=server

  # In a script
  kubectl postern redeliver github-4zv9d --yes --timeout=5m`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cli.CompleteArgs(f.CompleteDeliveries),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), args[0])
		},
	}
	o.output.AddFlag(command, cli.OutputJSON, cli.OutputYAML, cli.OutputName)
	flags := command.Flags()
	flags.StringVar(&o.dryRun, "dry-run", dryRunNone,
		`Must be "none" or "server". If server, show what would change, and change nothing.`)
	flags.Lookup("dry-run").NoOptDefVal = dryRunServer
	flags.BoolVarP(&o.yes, "yes", "y", false, "Do not ask.")
	flags.BoolVar(&o.wait, "wait", true, "Wait until the delivery has ended.")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "How long to wait.")
	_ = command.RegisterFlagCompletionFunc("dry-run",
		cobra.FixedCompletions([]string{dryRunNone, dryRunServer}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func (o *redeliverOptions) run(ctx context.Context, argument string) error {
	name, err := o.check(argument)
	if err != nil {
		return err
	}
	cluster, err := o.Cluster()
	if err != nil {
		return err
	}
	original, err := getDelivery(ctx, cluster, name)
	if err != nil {
		return err
	}
	asks := !o.yes && printers.IsTerminal(o.In)
	if o.dryRun == dryRunServer || asks {
		expected, err := o.redeliver(ctx, cluster, original, metav1.DryRunAll)
		if err != nil {
			return err
		}
		if o.dryRun == dryRunServer {
			return o.printDryRun(expected)
		}
		if !o.ask(expected) {
			_, _ = fmt.Fprintln(o.ErrOut, "Nothing was delivered.")
			return &cli.ExitError{Code: cli.ExitFault}
		}
		if err := checkSame(ctx, cluster, original); err != nil {
			return err
		}
	}
	delivery, err := o.redeliver(ctx, cluster, original)
	if err != nil {
		return err
	}
	return o.finish(ctx, cluster, delivery)
}

func (o *redeliverOptions) check(argument string) (name string, err error) {
	if err := o.output.Validate(); err != nil {
		return "", err
	}
	if o.dryRun != dryRunNone && o.dryRun != dryRunServer {
		return "", fmt.Errorf("invalid dry-run value (%s): must be %q or %q", cli.Printable(o.dryRun), dryRunNone,
			dryRunServer)
	}
	name, ok := deliveryName(argument)
	if !ok || name == "" {
		return "", fmt.Errorf("%s is not the name of a delivery: \"kubectl postern deliveries\" lists them",
			cli.Quote(argument))
	}
	return name, nil
}

// redeliver asks the server to deliver again. If it answers with the failure of a recorded delivery, it returns the
// record, which says more.
func (o *redeliverOptions) redeliver(
	ctx context.Context, cluster *cli.Cluster, original *v1alpha1.WebhookDelivery, dryRun ...string,
) (*v1alpha1.WebhookDelivery, error) {
	auditID := string(uuid.NewUUID())
	request := cluster.Postern.PosternV1alpha1().RESTClient().Post().Namespace(original.Namespace).Resource(resource).
		Name(original.Name).SubResource("redeliver").SetHeader(headerAuditID, auditID)
	for _, value := range dryRun {
		request.Param("dryRun", value)
	}
	delivery := &v1alpha1.WebhookDelivery{}
	err := request.Do(ctx).Into(delivery)
	if apierrors.IsInternalError(err) && len(dryRun) == 0 {
		if failed := deliveryOf(ctx, cluster, original, auditID); failed != nil {
			delivery, err = failed, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("could not deliver %s again: %w", original.Name, err)
	}
	delivery.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"))
	return delivery, nil
}

// headerAuditID identifies a request in audit logs, and in the record of its delivery.
const headerAuditID = "Audit-ID"

// deliveryOf returns the record of a request; nil if there is none.
func deliveryOf(
	ctx context.Context, cluster *cli.Cluster, original *v1alpha1.WebhookDelivery, auditID string,
) (found *v1alpha1.WebhookDelivery) {
	selected := fields.Set{v1alpha1.FieldSource: original.Spec.Source}
	// A record that was found counts, even if not all could be read.
	_ = story.Each(ctx, cluster, original.Namespace, selected, func(d *v1alpha1.WebhookDelivery) {
		if d.Status.AuditID == auditID && d.Spec.RedeliveryOf == original.Name {
			found = d.DeepCopy()
		}
	})
	return found
}

// printDryRun prints what a delivery would change.
func (o *redeliverOptions) printDryRun(expected *v1alpha1.WebhookDelivery) error {
	printed, err := o.output.Print(o.Out, expected)
	if err == nil && !printed {
		p := &page{now: time.Now()}
		p.plan(expected)
		_, err = io.WriteString(o.Out, p.text.String())
	}
	if err != nil {
		return err
	}
	return exitFor(expected)
}

// ask shows what would change, and reports whether the user agrees.
func (o *redeliverOptions) ask(expected *v1alpha1.WebhookDelivery) (agreed bool) {
	p := &page{now: time.Now()}
	p.plan(expected)
	_, _ = fmt.Fprintf(o.ErrOut, "%s\nDeliver it again? [y/N] ", p.text.String())
	answer, _ := bufio.NewReader(o.In).ReadString('\n') // the end of the input declines
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// checkSame returns an error if a delivery is no longer the one that was shown: another client may have deleted it, and
// created another one of the same name, which the user would deliver.
func checkSame(ctx context.Context, cluster *cli.Cluster, shown *v1alpha1.WebhookDelivery) error {
	now, err := getDelivery(ctx, cluster, shown.Name)
	if err == nil && now.UID != shown.UID {
		err = fmt.Errorf("nothing was delivered: %s is another record now than the one that was shown", shown.Name)
	}
	return err
}

// finish waits until a delivery has ended, and prints its story.
func (o *redeliverOptions) finish(ctx context.Context, cluster *cli.Cluster, delivery *v1alpha1.WebhookDelivery) error {
	if o.wait && delivery.Status.Phase == v1alpha1.DeliveryPending {
		ended, err := awaitEnd(ctx, cluster, delivery, o.timeout)
		if err != nil {
			return err
		}
		delivery = ended
	}
	if o.output.Format != "" {
		if _, err := o.output.Print(o.Out, delivery); err != nil {
			return err
		}
		return exitFor(delivery)
	}
	told, err := story.Tell(ctx, cluster, delivery)
	if err != nil {
		return err
	}
	if err := printStory(o.Out, &o.output, told); err != nil {
		return err
	}
	return exitFor(delivery)
}

// awaitEnd waits until a delivery is no longer pending.
func awaitEnd(
	ctx context.Context, cluster *cli.Cluster, d *v1alpha1.WebhookDelivery, timeout time.Duration,
) (*v1alpha1.WebhookDelivery, error) {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := cluster.Postern.PosternV1alpha1().WebhookDeliveries(d.Namespace)
	selector := fields.OneTermEqualSelector("metadata.name", d.Name).String()
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector
			return client.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector
			return client.Watch(ctx, options)
		},
	}
	hasEnded := func(event watch.Event) (bool, error) {
		if event.Type == watch.Deleted {
			return false, fmt.Errorf("the record of %s was deleted while the delivery was pending", d.Name)
		}
		current, ok := event.Object.(*v1alpha1.WebhookDelivery)
		return ok && current.Status.Phase != v1alpha1.DeliveryPending, nil
	}
	event, err := watchtools.UntilWithSync(waiting, source, &v1alpha1.WebhookDelivery{}, nil, hasEnded)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if waiting.Err() != nil {
		return nil, fmt.Errorf("%s has not ended within %s; Postern goes on with it: %s", d.Name, timeout,
			cluster.PluginCommand("why", d.Name))
	}
	if err != nil {
		return nil, err
	}
	ended := event.Object.(*v1alpha1.WebhookDelivery).DeepCopy()
	ended.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"))
	return ended, nil
}
