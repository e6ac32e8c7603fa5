// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"postern.dev/postern/pkg/payload"
)

// completionTimeout and completionLimit keep a shell responsive.
const (
	completionTimeout = 3 * time.Second
	completionLimit   = 500
)

// Completion completes an argument or the value of a flag of a command.
type Completion = cobra.CompletionFunc

// CompleteArgs completes the arguments of a command, each by the completion at its position. Later arguments have none.
func CompleteArgs(completions ...Completion) Completion {
	return func(command *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(completions) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completions[len(args)](command, args, toComplete)
	}
}

// CompleteSources completes the types of sender.
func CompleteSources(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return withPrefix(payload.Sources(), toComplete), cobra.ShellCompDirectiveNoFileComp
}

// CompleteTargets completes targets as KIND/NAME: first the kind, then the names of the objects in the namespace.
func (f *Factory) CompleteTargets(
	command *cobra.Command, _ []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	kindName, _, hasKind := strings.Cut(toComplete, "/")
	if !hasKind {
		var kinds []string
		for _, kind := range Kinds {
			kinds = append(kinds, kind.Names[0]+"/")
		}
		return withPrefix(kinds, toComplete), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	kind, err := ParseKind(kindName)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := f.complete(command, func(
		ctx context.Context, c *Cluster, options metav1.ListOptions,
	) (runtime.Object, error) {
		return c.Dynamic.Resource(kind.Resource).Namespace(c.Namespace).List(ctx, options)
	})
	for i := range names {
		names[i] = kindName + "/" + names[i]
	}
	return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// CompleteDeliveries completes the names of deliveries in the namespace.
func (f *Factory) CompleteDeliveries(
	command *cobra.Command, _ []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	names := f.complete(command, func(
		ctx context.Context, c *Cluster, options metav1.ListOptions,
	) (runtime.Object, error) {
		return c.Postern.PosternV1alpha1().WebhookDeliveries(c.Namespace).List(ctx, options)
	})
	return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// CompleteNamespaces completes the names of namespaces.
func (f *Factory) CompleteNamespaces(
	command *cobra.Command, _ []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	names := f.complete(command, func(
		ctx context.Context, c *Cluster, options metav1.ListOptions,
	) (runtime.Object, error) {
		return c.Kubernetes.CoreV1().Namespaces().List(ctx, options)
	})
	return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// CompleteContexts completes the contexts of the kubeconfig.
func (f *Factory) CompleteContexts(_ *cobra.Command, _ []string, toComplete string,
) ([]string, cobra.ShellCompDirective) {
	config, err := f.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return withPrefix(names, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// complete returns the names of the objects in a list, or nothing if it fails: a shell has no place for an error.
func (f *Factory) complete(
	command *cobra.Command, list func(context.Context, *Cluster, metav1.ListOptions) (runtime.Object, error),
) (names []string) {
	cluster, err := f.Cluster()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
	defer cancel()
	objects, err := list(ctx, cluster, metav1.ListOptions{Limit: completionLimit})
	if err != nil {
		return nil
	}
	err = meta.EachListItem(objects, func(item runtime.Object) error {
		object, err := meta.Accessor(item)
		if err == nil {
			names = append(names, object.GetName())
		}
		return err
	})
	if err != nil {
		return nil
	}
	return names
}

func withPrefix(words []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !strings.HasPrefix(word, prefix) })
}
