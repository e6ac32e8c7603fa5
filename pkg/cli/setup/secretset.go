// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
)

const setExample = `  # Generate a secret for GitHub, and write it to a file
  kubectl postern secret set github -n demo --out=secret

  # Use the secret that was created at GitHub
  kubectl postern secret set github -n demo --from-file=- < secret

  # Generate a secret that is valid for one GatewaySync only, which then accepts no other
  kubectl postern secret set github gatewaysync/plant -n demo --show`

func newSetCommand(f *cli.Factory) *cobra.Command {
	var values valueFlags
	var replace bool
	command := &cobra.Command{
		Use:   "set SOURCE [KIND/NAME]",
		Short: "Set the secret of a sender that has none",
		Long: "Set the secret of a type of sender or, with a target, of that target. It is generated, unless it is " +
			"read from a file.",
		Example:           setExample,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteSources, f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			return setSecret(command.Context(), f, args, &values, replace)
		},
	}
	values.add(command)
	command.Flags().BoolVar(&replace, "replace", false,
		"If true, replace the secrets of the sender, which are then no longer valid.")
	return command
}

func setSecret(ctx context.Context, f *cli.Factory, args []string, values *valueFlags, replace bool) error {
	source, key, err := keyOf(args, values.signingToken)
	if err != nil {
		return err
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	value, err := values.value(f.In)
	if err != nil {
		return err
	}
	err = values.hand(ctx, cluster, key, value, func(lines []string) ([]string, error) {
		same := func(line string) bool { return isSigningToken(line) == values.signingToken }
		if slices.ContainsFunc(lines, same) && !replace {
			rotate := append(append([]string{"secret", "rotate"}, args...), "--out=new-secret")
			return nil, fmt.Errorf("%s has a secret: to replace it at once, add --replace; to change it without a "+
				"gap, use\n  %s", key, cluster.PluginCommand(rotate...))
		}
		// A secret token and a signing token of GitLab are under the same key.
		return append(slices.DeleteFunc(lines, same), value), nil
	})
	if err != nil {
		return err
	}
	return values.report(f, value, fmt.Sprintf("%s of secret/%s set for %s", key, credential.SecretName,
		forms[source].Title))
}
