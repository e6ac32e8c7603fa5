// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/setup"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// maxSecret is longer than all secrets of a sender, and than any token.
const maxSecret = 64 << 10

// wanted is the search for a secret of a sender.
type wanted struct {
	endpoint cli.Endpoint
	// named is set if the headers name the type of sender. Otherwise a signature at the path of a target is verified
	// before the type is known, and so without its key.
	named bool
	// methods are those by which the secret may be used, best first.
	methods []credential.Method
}

// fromFile returns the secret in a file, or in for "-", and the method to use it by.
func (w wanted) fromFile(path string, in io.Reader) (secret string, method credential.Method, err error) {
	content, err := readFile(path, in, maxSecret)
	if err != nil {
		return "", "", fmt.Errorf("could not read the secret: %w", err)
	}
	for _, method := range w.methods {
		if secret := chooseSecret(content, w.endpoint.Source, method); secret != "" {
			return secret, method, nil
		}
	}
	return "", "", fmt.Errorf("the file has no secret for the method %s", w.methods[0])
}

// fromCluster returns the secret in the Secret of the namespace, if the user may read it, and the method to use it by.
func (w wanted) fromCluster(
	ctx context.Context, cluster *cli.Cluster,
) (secret string, method credential.Method, err error) {
	found, err := cluster.Kubernetes.CoreV1().Secrets(cluster.Namespace).Get(ctx, credential.SecretName,
		metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", "", fmt.Errorf("you may not read the Secret %s: give the secret with --secret-file=FILE, or see "+
			"what would happen with --dry-run=server", credential.SecretName)
	case apierrors.IsNotFound(err):
		found = nil
	case err != nil:
		return "", "", fmt.Errorf("could not read the Secret %s: %w", credential.SecretName, err)
	}
	if found != nil {
		for _, method := range w.methods {
			for _, key := range w.keys(found.Data, method) {
				if secret := chooseSecret(found.Data[key], w.endpoint.Source, method); secret != "" {
					return secret, method, nil
				}
			}
		}
	}
	source := w.endpoint.Source
	set := []string{"secret", "set", source}
	if setup.NeedsTargetKey(w.endpoint, w.methods[0]) {
		set = append(set, w.endpoint.Args()[0])
	}
	return "", "", fmt.Errorf("the namespace %s has no secret for %s: set one with\n  %s", cluster.Namespace,
		setup.TitleOf(source), cluster.PluginCommand(append(set, "--out=secret")...))
}

// keys returns the keys that may have the secret for a method, best first. If a target has keys of its own in data,
// they replace all others.
func (w wanted) keys(data map[string][]byte, method credential.Method) []string {
	kind := "token"
	if method == credential.MethodHMAC {
		kind = "hmac"
	}
	if w.endpoint.Target != nil {
		resource, name := w.endpoint.Resource()
		own := resource + "." + name + "."
		_, hasHMAC := data[own+"hmac"]
		_, hasToken := data[own+"token"]
		if hasHMAC || hasToken {
			return []string{own + kind}
		}
	}
	var keys []string
	if w.named || w.endpoint.Target == nil || method != credential.MethodHMAC {
		keys = append(keys, payload.SecretKey(w.endpoint.Source))
	}
	if sender, _ := payload.Lookup(w.endpoint.Source); !sender.OnlyOwnSecret() {
		keys = append(keys, kind)
	}
	return keys
}

// chooseSecret returns the newest secret in a value that fits the method. A signing token is used for signatures only,
// and then before all others.
func chooseSecret(value []byte, source string, method credential.Method) string {
	signs := method == credential.MethodHMAC && slices.Contains(schemesOf(source), payload.SignatureSigningToken)
	var chosen string
	for line := range strings.Lines(string(value)) {
		line = strings.TrimSpace(line)
		isSigningToken := setup.SigningKey(line) != nil
		switch {
		case line == "" || isSigningToken && !signs:
		case isSigningToken || setup.SigningKey(chosen) == nil:
			chosen = line
		}
	}
	return chosen
}
