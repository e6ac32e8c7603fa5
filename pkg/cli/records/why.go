// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
)

// whyOptions are the flags of `why`.
type whyOptions struct {
	*cli.Factory
	output cli.Output
}

// NewWhyCommand returns the command `why`.
func NewWhyCommand(f *cli.Factory) *cobra.Command {
	o := &whyOptions{Factory: f}
	command := &cobra.Command{
		Use:   "why NAME | KIND/NAME",
		Short: "Explain what became of a delivery, and why",
		Long: `Explain what became of a delivery, and why: who sent it, what Postern decided for each target, and what
the target has now. With a target, explain the delivery that reached it last.

A webhook that was refused (400, 401, 403 or 404) left no record, so nothing is known of it here: "kubectl postern
doctor" examines what refuses webhooks.

The exit code is 0 if the delivery was applied, and 2 if not.`,
		Example: `  # Why did this delivery do nothing?
  kubectl postern why github-4zv9d

  # What was the last delivery to an Application, and what became of it?
  kubectl postern why application/shop

  # The same for programs
  kubectl postern why application/shop -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDeliveryOrTarget(f),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), args[0])
		},
	}
	o.output.AddFlag(command, cli.OutputJSON, cli.OutputYAML)
	return command
}

// completeDeliveryOrTarget completes targets once an argument has a slash, and names of deliveries otherwise.
func completeDeliveryOrTarget(f *cli.Factory) cobra.CompletionFunc {
	return cli.CompleteArgs(func(command *cobra.Command, args []string, toComplete string,
	) ([]string, cobra.ShellCompDirective) {
		if strings.Contains(toComplete, "/") {
			return f.CompleteTargets(command, args, toComplete)
		}
		return f.CompleteDeliveries(command, args, toComplete)
	})
}

func (o *whyOptions) run(ctx context.Context, argument string) error {
	told, err := storyOf(ctx, o.Factory, &o.output, argument)
	if err != nil {
		return err
	}
	if err := printStory(o.Out, &o.output, told); err != nil {
		return err
	}
	return exitFor(told.Delivery)
}

// storyOf checks the output, and tells the story of the delivery that an argument names.
func storyOf(ctx context.Context, f *cli.Factory, output *cli.Output, argument string) (*story.Story, error) {
	if err := output.Validate(); err != nil {
		return nil, err
	}
	cluster, err := f.Cluster()
	if err != nil {
		return nil, err
	}
	delivery, err := findDelivery(ctx, cluster, argument)
	if err != nil {
		return nil, err
	}
	return story.Tell(ctx, cluster, delivery)
}

// exitFor returns the exit code for the outcome of a delivery.
func exitFor(d *v1alpha1.WebhookDelivery) error {
	if d.Status.Phase != v1alpha1.DeliveryApplied {
		return &cli.ExitError{Code: cli.ExitFault}
	}
	return nil
}

// findDelivery returns the delivery that an argument names, or the last one to the target that it names.
func findDelivery(ctx context.Context, cluster *cli.Cluster, argument string) (*v1alpha1.WebhookDelivery, error) {
	if name, isDelivery := deliveryName(argument); isDelivery {
		return getDelivery(ctx, cluster, name)
	}
	target, err := cli.ParseTarget(argument)
	if err != nil {
		return nil, err
	}
	latest, err := story.Latest(ctx, cluster, cluster.Namespace, target)
	if err != nil && latest == nil {
		return nil, err
	}
	if latest == nil {
		return nil, fmt.Errorf("there is no record of a delivery to %s in namespace %s (-n selects another). %s",
			argument, cluster.Namespace, noRecord(cluster, argument))
	}
	return latest, nil
}

// deliveryName returns the name of a delivery that an argument gives as it is, or as kubectl does after its kind.
func deliveryName(argument string) (name string, ok bool) {
	kind, name, found := strings.Cut(argument, "/")
	if !found {
		return argument, true
	}
	switch strings.TrimSuffix(strings.ToLower(kind), ".postern.dev") {
	case "webhookdelivery", "webhookdeliveries", "whd":
		return name, true
	}
	return "", false
}

// getDelivery returns a delivery by its name.
func getDelivery(ctx context.Context, cluster *cli.Cluster, name string) (*v1alpha1.WebhookDelivery, error) {
	d, err := cluster.Postern.PosternV1alpha1().WebhookDeliveries(cluster.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no delivery %s in namespace %s (-n selects another). %s", cli.Quote(name),
			cluster.Namespace, noRecord(cluster, ""))
	}
	if err != nil {
		return nil, fmt.Errorf("could not read the delivery: %w", err)
	}
	d.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"))
	return d, nil
}

// noRecord says why a webhook may have left no record, and where to look.
func noRecord(cluster *cli.Cluster, target string) string {
	words := []string{"doctor"}
	if target != "" {
		words = append(words, target)
	}
	return "A webhook that was refused (400, 401, 403 or 404) leaves none, and records expire. To find what refuses " +
		"webhooks:\n  " + cluster.PluginCommand(words...)
}
