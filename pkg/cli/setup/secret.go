// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// NewSecretCommand returns the command secret, with its subcommands.
func NewSecretCommand(f *cli.Factory) *cobra.Command {
	command := &cobra.Command{
		Use:   "secret",
		Short: "Set and rotate the secrets that senders share with Postern",
		Long: "Set and rotate the secrets that senders share with Postern. They are in the Secret " +
			credential.SecretName + " of the namespace, under a key for each type of sender or target.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newSetCommand(f), newRotateCommand(f), newShowKeysCommand(f))
	return command
}

// keyOf returns the key of the Secret for the arguments SOURCE [KIND/NAME]: that of a target, if one is given,
// otherwise that of the type of sender.
func keyOf(args []string, signingToken bool) (source, key string, err error) {
	source = args[0]
	if err := cli.CheckSource(source); err != nil {
		return "", "", err
	}
	sender, _ := payload.Lookup(source)
	if len(sender.Signatures) == 0 && !sender.Token && !sender.QueryToken {
		return "", "", fmt.Errorf("%s can use no webhook secret: let a ServiceAccount deliver, with "+
			"\"kubectl postern grant\"", forms[source].Title)
	}
	if len(args) == 1 {
		return source, payload.SecretKey(source), nil
	}
	target, err := cli.ParseTarget(args[1])
	if err != nil {
		return "", "", err
	}
	kind := "token"
	if method := forms[source].Method; signingToken || len(sender.Signatures) > 0 && method != bySecret {
		kind = "hmac"
	}
	return source, cli.KindOf(target.Kind).Resource.Resource + "." + target.Name + "." + kind, nil
}

// change changes the secrets under one key. If another client changes the Secret meanwhile, decide is called again.
func change(
	ctx context.Context, cluster *cli.Cluster, key string, decide func(lines []string) (changed []string, err error),
) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var seen []string
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		return changeOnce(ctx, cluster, key, func(value string) (string, error) {
			lines := linesOf(value)
			seen = append(append(seen, value), lines...)
			changed, err := decide(lines)
			after := joinLines(changed)
			seen = append(append(seen, after), changed...)
			return after, err
		})
	})
	return redacted(err, seen)
}

func changeOnce(
	ctx context.Context, cluster *cli.Cluster, key string, decide func(value string) (changed string, err error),
) error {
	secrets := cluster.Kubernetes.CoreV1().Secrets(cluster.Namespace)
	found, err := secrets.Get(ctx, credential.SecretName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("could not read the Secret %s: %w", credential.SecretName, err)
	}
	exists := err == nil
	value := ""
	if exists {
		value = string(found.Data[key])
	}
	changed, err := decide(value)
	if err != nil {
		return err
	}
	data := map[string][]byte{key: []byte(changed)}
	if !exists {
		_, err := secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: credential.SecretName}, Data: data,
		}, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) { // since the read
			return apierrors.NewConflict(corev1.Resource("secrets"), credential.SecretName, err)
		}
		return err
	}
	// The version makes the patch fail if any key has changed since the read.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": found.ResourceVersion}, "data": data,
	})
	if err != nil {
		return err
	}
	_, err = secrets.Patch(ctx, credential.SecretName, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: fieldManager})
	return err
}
