// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhooksource

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

func TestWebhookSources_DescribesEachSenderInNamespace(t *testing.T) {
	secrets := &credential.Secrets{}
	secrets.Set("demo", map[string][]byte{"webhook.docker-secret": []byte("s3cret")})
	described := Senders{
		credential.NewVerifier(credential.Config{IdentityIsCredential: true}, secrets)}.Describe("demo")

	var names []string
	byName := map[string]postern.WebhookSource{}
	for _, source := range described {
		names = append(names, source.Name)
		byName[source.Name] = source
		if len(source.Status.Methods) == 0 || source.Status.HasSecret != (source.Name == "docker.io") {
			t.Errorf("%s: %+v", source.Name, source.Status)
		}
	}
	if diff := cmp.Diff(payload.Sources(), names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	want := postern.WebhookSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "docker.io"},
		Status: postern.WebhookSourceStatus{
			Requests: "Images", Methods: []string{"QueryToken"}, SecretKeys: []string{"webhook.docker-secret"},
			HasSecret: true,
			Path:      "/apis/postern.dev/v1alpha1/namespaces/demo/webhooksources/docker.io/webhookdeliveries",
		},
	}
	if diff := cmp.Diff(want, byName["docker.io"]); diff != "" {
		t.Errorf("docker.io (-want +got):\n%s", diff)
	}
}

// Otherwise a registry that the credential package does not know would accept the secrets of git hosts.
func TestWebhookSources_GitSecretIsNotForRegistry(t *testing.T) {
	verifier := credential.NewVerifier(credential.Config{}, &credential.Secrets{})
	for _, source := range (Senders{verifier}).Describe("demo") {
		shared := slices.ContainsFunc(source.Status.SecretKeys,
			func(key string) bool { return key == "hmac" || key == "token" })
		if want := source.Status.Requests != payload.RequestsImages; shared != want {
			t.Errorf("%s requests %s and takes %v, want a key of all git hosts: %t", source.Name,
				source.Status.Requests, source.Status.SecretKeys, want)
		}
	}
}
