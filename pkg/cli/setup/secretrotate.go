// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
)

const rotateExample = `  # Add a new secret for GitHub; the old one remains valid
  kubectl postern secret rotate github -n demo --out=secret

  # Once GitHub has the new one: remove the old one
  kubectl postern secret rotate github -n demo --finish

  # Or give up, and remove the new one
  kubectl postern secret rotate github -n demo --undo`

// rotateOptions are the flags of the command secret rotate.
type rotateOptions struct {
	values       valueFlags
	finish, undo bool
}

func newRotateCommand(f *cli.Factory) *cobra.Command {
	o := &rotateOptions{}
	command := &cobra.Command{
		Use:   "rotate SOURCE [KIND/NAME]",
		Short: "Change a secret without a gap",
		Long: "Change the secret of a type of sender or, with a target, of that target, without a gap: the command " +
			"adds a new one, and both are valid until you run it again with --finish, after you have given the new " +
			"one to the sender.",
		Example:           rotateExample,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteSources, f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			if o.finish || o.undo {
				return o.end(command.Context(), f, args)
			}
			return o.begin(command.Context(), f, args)
		},
	}
	o.values.add(command)
	command.Flags().BoolVar(&o.finish, "finish", false, "If true, remove the old secret.")
	command.Flags().BoolVar(&o.undo, "undo", false, "If true, remove the new secret.")
	command.MarkFlagsMutuallyExclusive("finish", "undo")
	for _, end := range []string{"finish", "undo"} {
		for _, value := range []string{"from-file", "out", "show"} {
			command.MarkFlagsMutuallyExclusive(end, value)
		}
	}
	return command
}

// isKind reports whether a secret is of the kind that is rotated: a key may have secrets of both.
func (o *rotateOptions) isKind(line string) bool {
	return isSigningToken(line) == o.values.signingToken
}

// begin adds a new secret.
func (o *rotateOptions) begin(ctx context.Context, f *cli.Factory, args []string) error {
	source, key, err := keyOf(args, o.values.signingToken)
	if err != nil {
		return err
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	value, err := o.values.value(f.In)
	if err != nil {
		return err
	}
	again := func(flag string) string {
		words := append([]string{"secret", "rotate"}, args...)
		if o.values.signingToken {
			words = append(words, "--signing-token")
		}
		return cluster.PluginCommand(append(words, flag)...)
	}
	err = o.values.hand(ctx, cluster, key, value, func(lines []string) ([]string, error) {
		switch count := o.count(lines); {
		case count == 0:
			return nil, fmt.Errorf("%s has no such secret: set one with\n  %s", key,
				cluster.PluginCommand(append(append([]string{"secret", "set"}, args...), "--out=secret")...))
		case count > 1:
			return nil, fmt.Errorf("%s has %d secrets: if a rotation is under way, finish it first, with\n  %s", key,
				count, again("--finish"))
		case slices.Contains(lines, value):
			return nil, errors.New("the new secret is the old one")
		}
		return append(lines, value), nil
	})
	if err != nil {
		return err
	}
	if err := o.values.report(f, value, key+" has a new secret, and the old one is still valid"); err != nil {
		return err
	}
	arrivals := cluster.PluginCommand(append(append([]string{"deliveries"}, args[1:]...), "--source="+source)...)
	_, err = fmt.Fprintf(f.Out, "\n1. Give the new one to %s: %s\n2. Send an event from there, and look whether it "+
		"arrives:\n     %s\n3. Remove the old one:\n     %s\n"+
		"If it does not work, remove the new one:\n     %s\n",
		forms[source].Title, o.placeOf(source), arrivals, again("--finish"), again("--undo"))
	return err
}

// placeOf returns where the sender has its secret.
func (o *rotateOptions) placeOf(source string) string {
	form := forms[source]
	for _, field := range form.Fields {
		if strings.Contains(field.Value, secretValue) {
			return form.Where + ", field " + field.Label
		}
	}
	return form.Where
}

func (o *rotateOptions) count(lines []string) int {
	count := 0
	for _, line := range lines {
		if o.isKind(line) {
			count++
		}
	}
	return count
}

// end removes the old or the new one of two secrets.
func (o *rotateOptions) end(ctx context.Context, f *cli.Factory, args []string) error {
	source, key, err := keyOf(args, o.values.signingToken)
	if err != nil {
		return err
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	err = change(ctx, cluster, key, func(lines []string) ([]string, error) {
		if count := o.count(lines); count != 2 {
			return nil, fmt.Errorf("nothing was changed: during a rotation, %s has 2 secrets, and now it has %d", key,
				count)
		}
		remove := slices.IndexFunc(lines, o.isKind)
		if o.undo {
			remove += 1 + slices.IndexFunc(lines[remove+1:], o.isKind)
		}
		return slices.Delete(lines, remove, remove+1), nil
	})
	if err != nil {
		return err
	}
	which := "old"
	if o.undo {
		which = "new"
	}
	_, err = fmt.Fprintf(f.Out, "the %s secret of %s (%s) is removed\n", which, forms[source].Title, key)
	return err
}
