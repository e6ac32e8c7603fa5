// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

const showKeysExample = `  # Which keys does the Secret have, and which sender uses which?
  kubectl postern secret show-keys -n demo

  # Which of them does GitHub use?
  kubectl postern secret show-keys github -n demo`

// Key is a key of the Secret with the webhook secrets.
type Key struct {
	Name string `json:"name"`
	// Secrets is the number of secrets under the key; two during a rotation. It is 0 for an address.
	Secrets int `json:"secrets"`
	// UsedBy are the types of sender that use the key, and the target that it is for.
	UsedBy []string `json:"usedBy"`
	// Note says what is unusual, or what the key is if it has no secret.
	Note string `json:"note,omitempty"`
}

func newShowKeysCommand(f *cli.Factory) *cobra.Command {
	var output cli.Output
	command := &cobra.Command{
		Use:   "show-keys [SOURCE]",
		Short: "Show the keys of the Secret, and who uses them",
		Long: "Show the keys of the Secret with the webhook secrets, and which sender uses which. Secrets are not " +
			"shown. You need the permission to read the Secret.",
		Example:           showKeysExample,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteSources),
		RunE: func(command *cobra.Command, args []string) error {
			return showKeys(command.Context(), f, args, &output)
		},
	}
	output.AddFlag(command, cli.OutputJSON, cli.OutputYAML)
	return command
}

func showKeys(ctx context.Context, f *cli.Factory, args []string, output *cli.Output) error {
	if err := output.Validate(); err != nil {
		return err
	}
	source := ""
	if len(args) > 0 {
		source = args[0]
		if err := cli.CheckSource(source); err != nil {
			return err
		}
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	secret, err := cluster.Kubernetes.CoreV1().Secrets(cluster.Namespace).Get(ctx, credential.SecretName,
		metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = fmt.Fprintf(f.ErrOut, "No Secret %s in the namespace %s.\n", credential.SecretName, cluster.Namespace)
		if err != nil || output.Format == "" {
			return err
		}
		_, err = output.Print(f.Out, []Key{})
		return err
	}
	if err != nil {
		return fmt.Errorf("could not read the Secret %s: %w", credential.SecretName, err)
	}
	keys := keysIn(secret.Data, source)
	if printed, err := output.Print(f.Out, keys); printed || err != nil {
		return err
	}
	if len(keys) == 0 {
		what := "No key"
		if source != "" {
			what += " for " + source
		}
		_, err := fmt.Fprintf(f.ErrOut, "%s in the Secret %s of the namespace %s.\n", what, credential.SecretName,
			cluster.Namespace)
		return err
	}
	return printKeys(f.Out, keys)
}

// keysIn describes the keys of a Secret in the order of their names: of one type of sender, if it is not empty.
func keysIn(data map[string][]byte, source string) []Key {
	described := []Key{}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		key := Key{Name: name, UsedBy: usersOf(name)}
		switch {
		case isRegistryURL(name):
			key.Note = "the address of the registry"
		case len(key.UsedBy) == 0:
			key.Note = "no sender uses it"
		default:
			key.Secrets = len(linesOf(string(data[name])))
			switch key.Secrets {
			case 0:
				key.Note = "has no secret: nothing is accepted"
			case 1:
			default:
				key.Note = "all are valid"
			}
		}
		if source == "" || slices.Contains(key.UsedBy, source) {
			described = append(described, key)
		}
	}
	return described
}

// usersOf returns the types of sender that use a key and, for the key of a target, the target.
func usersOf(key string) []string {
	if target, kind, found := targetOf(key); found {
		users := []string{target}
		for _, sender := range payload.Senders() {
			if uses(sender, kind) {
				users = append(users, sender.Name)
			}
		}
		return users
	}
	users := []string{}
	for _, sender := range payload.Senders() {
		own := key == payload.SecretKey(sender.Name) || key == payload.RegistryURLKey(sender.Name)
		if own || !sender.OnlyOwnSecret() && uses(sender, key) {
			users = append(users, sender.Name)
		}
	}
	return users
}

// uses reports whether a sender can prove itself with a secret of a kind: hmac or token.
func uses(sender payload.Sender, kind string) bool {
	return kind == "hmac" && len(sender.Signatures) > 0 || kind == "token" && sender.Token
}

// targetOf returns the target that a key is for, as KIND/NAME, and the kind of its secrets.
func targetOf(key string) (target, kind string, found bool) {
	resource, rest, _ := strings.Cut(key, ".")
	end := strings.LastIndexByte(rest, '.')
	if end < 1 {
		return "", "", false
	}
	name, kind := rest[:end], rest[end+1:]
	if kind != "hmac" && kind != "token" {
		return "", "", false
	}
	for _, k := range cli.Kinds {
		if k.Resource.Resource == resource {
			return k.Names[0] + "/" + name, kind, true
		}
	}
	return "", "", false
}

func isRegistryURL(key string) bool {
	return slices.ContainsFunc(payload.Senders(), func(s payload.Sender) bool {
		return key == payload.RegistryURLKey(s.Name)
	})
}

func printKeys(w io.Writer, keys []Key) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if _, err := fmt.Fprintln(table, "KEY\tSECRETS\tUSED BY\tNOTE"); err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", key.Name, key.Secrets, strings.Join(key.UsedBy, ","),
			key.Note); err != nil {
			return err
		}
	}
	return table.Flush()
}
