// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"
	"strings"

	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/credential"
)

// DefaultSecrets are the flags for secrets of namespaces that have no key for a delivery.
type DefaultSecrets struct {
	// values are the secrets by key. Keys without a flag are set only by the environment, as in Stoker.
	values              map[string]*string
	hmacFile, tokenFile string
}

func newDefaultSecrets() DefaultSecrets {
	d := DefaultSecrets{values: map[string]*string{}}
	for _, secret := range DefaultSecretSettings() {
		d.values[secret.Key] = new(string)
	}
	return d
}

func (d *DefaultSecrets) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("default secrets")
	for _, secret := range DefaultSecretSettings() {
		if secret.Flag != "" {
			fs.StringVar(d.values[secret.Key], secret.Flag, "", fmt.Sprintf(
				"Default for the key %s in namespaces whose Secret %s has no key for the sender. Flags are visible "+
					"in the process list: prefer the variable.",
				secret.Key, credential.SecretName))
		}
	}
	const usage = "A file with the default for the key %s in namespaces whose Secret %s has no key for the sender: " +
		"one secret per line, all valid. It is reloaded when it changes, and takes precedence over %s."
	fs.StringVar(&d.hmacFile, "hmac-secret-file", "",
		fmt.Sprintf(usage, "hmac", credential.SecretName, "the variable WEBHOOK_HMAC_SECRET"))
	fs.StringVar(&d.tokenFile, "token-file", "",
		fmt.Sprintf(usage, "token", credential.SecretName, "the variable WEBHOOK_BEARER_TOKEN"))
}

// readEnvironment sets the secrets without a flag from their environment variables.
func (d *DefaultSecrets) readEnvironment(lookup func(string) string) {
	for _, secret := range DefaultSecretSettings() {
		if secret.Flag == "" {
			*d.values[secret.Key] = strings.TrimSpace(lookup(secret.Env))
		}
	}
}

// Source returns the configured default secrets. Empty values are omitted.
func (d *DefaultSecrets) Source() credential.DefaultSource {
	source := credential.DefaultSource{Values: map[string][]byte{}, Files: map[string]string{}}
	for key, value := range d.values {
		if *value != "" {
			source.Values[key] = []byte(*value)
		}
	}
	for key, path := range map[string]string{"hmac": d.hmacFile, "token": d.tokenFile} {
		if path != "" {
			source.Files[key] = path
		}
	}
	return source
}
