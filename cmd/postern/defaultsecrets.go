// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/receiver"
)

// defaultSecrets are the secrets that count in every namespace that has no key of its own for a delivery.
type defaultSecrets struct {
	// values are by key. Those of keys without a flag can come by the environment alone, as in Stoker.
	values              map[string]*string
	hmacFile, tokenFile string
}

func newDefaultSecrets() defaultSecrets {
	d := defaultSecrets{values: map[string]*string{}}
	for _, secret := range receiver.DefaultSecrets() {
		d.values[secret.Key] = new(string)
	}
	return d
}

func (d *defaultSecrets) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("default secrets")
	for _, secret := range receiver.DefaultSecrets() {
		if secret.Flag != "" {
			fs.StringVar(d.values[secret.Key], secret.Flag, "", fmt.Sprintf(
				"What counts as %s in every namespace whose Secret %s has no key for such a delivery. Whoever sees this process sees its flags, so rather use the variable.",
				secret.Key, credential.SecretName))
		}
	}
	const usage = "A file with what counts as %s in every namespace whose Secret %s has no key for such a delivery: several secrets, one a line, are all valid. It is read again when it changes. It counts and not %s."
	fs.StringVar(&d.hmacFile, "hmac-secret-file", "", fmt.Sprintf(usage, "hmac", credential.SecretName, "the variable WEBHOOK_HMAC_SECRET"))
	fs.StringVar(&d.tokenFile, "token-file", "", fmt.Sprintf(usage, "token", credential.SecretName, "the variable WEBHOOK_BEARER_TOKEN"))
}

// readEnvironment takes the secrets that have no flag from their variables.
func (d *defaultSecrets) readEnvironment(lookup func(string) string) {
	for _, secret := range receiver.DefaultSecrets() {
		if secret.Flag == "" {
			*d.values[secret.Key] = strings.TrimSpace(lookup(secret.Env))
		}
	}
}

// source is where the secrets come from. An empty value is none.
func (d *defaultSecrets) source() credential.DefaultSource {
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
