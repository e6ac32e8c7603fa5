// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/credential"
)

func TestDefaultSecrets_FlagBeforeEnvironment(t *testing.T) {
	environment := map[string]string{
		"DOCKER_WEBHOOK_SECRET": "docker-by-variable", "GHCR_WEBHOOK_SECRET": "ghcr-by-variable",
		"QUAY_WEBHOOK_SECRET": " ",
		"WEBHOOK_HMAC_SECRET": "hmac-by-variable\n", "WEBHOOK_BEARER_TOKEN": "one\ntwo",
	}
	for _, test := range []struct {
		name string
		args []string
		want credential.DefaultSource
	}{
		{
			name: "by variable",
			want: credential.DefaultSource{Values: map[string][]byte{
				"webhook.docker-secret": []byte("docker-by-variable"),
				"webhook.ghcr-secret":   []byte("ghcr-by-variable"),
				"hmac":                  []byte("hmac-by-variable"), "token": []byte("one\ntwo"),
			}, Files: map[string]string{}},
		},
		{
			name: "by flag",
			args: []string{
				"--docker-webhook-secret=docker-by-flag", "--ghcr-webhook-secret=",
				"--harbor-webhook-secret=harbor-by-flag",
				"--token-file=token",
			},
			want: credential.DefaultSource{Values: map[string][]byte{
				"webhook.docker-secret": []byte("docker-by-flag"), "webhook.harbor-secret": []byte("harbor-by-flag"),
				"hmac": []byte("hmac-by-variable"), "token": []byte("one\ntwo"),
			}, Files: map[string]string{"token": "token"}},
		},
	} {
		o, _, err := parseIn(environment, append(test.args, certFileArgs...)...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, o.DefaultSecrets.Source()); diff != "" {
			t.Errorf("%s: secrets (-want +got):\n%s", test.name, diff)
		}
	}
}
