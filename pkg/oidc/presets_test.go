// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"maps"
	"os"
	"testing"

	"postern.dev/postern/pkg/credential"
)

// The claims of real tokens, as the vendors document them:
//
//	https://docs.github.com/en/actions/reference/security/oidc
//	https://docs.gitlab.com/ci/secrets/id_token_authentication/
//	https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions
//	https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
var (
	gitHubClaims = map[string]any{
		"iss": "https://token.actions.githubusercontent.com", "aud": "postern",
		"sub":        "repo:example/shop:environment:production",
		"repository": "example/shop", "repository_id": "123456789",
		"repository_owner": "example", "repository_owner_id": "4321", "repository_visibility": "private",
		"ref": "refs/tags/v2.0.0", "ref_type": "tag", "ref_protected": "true", "sha": "0123456789abcdef",
		"environment": "production", "event_name": "release", "actor": "kim", "actor_id": "99",
		"job_workflow_ref": "example/shop/.github/workflows/deliver.yaml@refs/tags/v2.0.0",
		"workflow_ref":     "example/shop/.github/workflows/deliver.yaml@refs/tags/v2.0.0",
		"run_id":           "7", "run_attempt": "1", "runner_environment": "github-hosted", "jti": "a1",
	}
	gitLabClaims = map[string]any{
		"iss": "https://gitlab.com", "aud": []string{"postern"},
		"sub":          "project_path:example/shop:ref_type:tag:ref:v2.0.0",
		"namespace_id": "72", "namespace_path": "example", "project_id": "20", "project_path": "example/shop",
		"user_id": "1", "user_login": "kim", "user_email": "kim@example.com", "pipeline_id": "574",
		"pipeline_source": "push", "job_id": "302", "ref": "v2.0.0", "ref_type": "tag",
		"ref_path": "refs/tags/v2.0.0", "ref_protected": "true", "environment_protected": "false",
		"runner_environment": "gitlab-hosted", "sha": "0123456789abcdef", "project_visibility": "private",
	}
	googleClaims = map[string]any{
		"iss": "https://accounts.google.com", "aud": "postern", "azp": "113774264463038321964",
		"email": "postern@example.iam.gserviceaccount.com", "email_verified": true, "sub": "113774264463038321964",
	}
	azureClaims = map[string]any{
		"iss": "https://sts.windows.net/11111111-2222-3333-4444-555555555555/", "aud": "api://postern", "ver": "1.0",
		"tid": "11111111-2222-3333-4444-555555555555", "oid": "99999999-8888-7777-6666-555555555555",
		"appid": "77777777-6666-5555-4444-333333333333", "appidacr": "1", "idtyp": "app",
		"sub": "99999999-8888-7777-6666-555555555555", "uti": "u", "rh": "r",
	}
	azureV2Claims = map[string]any{
		"iss": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", "ver": "2.0",
		"aud": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
		"tid": "11111111-2222-3333-4444-555555555555", "oid": "99999999-8888-7777-6666-555555555555",
		"azp": "77777777-6666-5555-4444-333333333333", "azpacr": "1",
		"sub": "99999999-8888-7777-6666-555555555555",
	}
)

func readPreset(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../artifacts/senders/oidc/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// but returns claims with others; nil removes one.
func but(claims, others map[string]any) map[string]any {
	changed := maps.Clone(claims)
	maps.Copy(changed, others)
	return changed
}

// Each preset accepts a token as its vendor makes it, and none of another repository, project or identity, even if it
// has the same name.
func TestPresets(t *testing.T) {
	type claims = map[string]any
	for preset, test := range map[string]struct {
		file   string
		claims claims
		name   string
		others map[string]claims
	}{
		"GitHub Actions": {"github-actions", gitHubClaims, "github:example/shop:refs/tags/v2.0.0", map[string]claims{
			"a repository that got the name later": {"repository_id": "987654321"},
			"an owner that got the name later":     {"repository_owner_id": "1234"},
			"a branch":                             {"ref": "refs/heads/v2", "ref_type": "branch"},
			"a pull request":                       {"ref": "refs/pull/1/merge", "ref_type": "branch"},
			"another environment":                  {"environment": "staging"},
			"no environment":                       {"environment": nil},
			"no id":                                {"repository_id": nil},
			"an id of another type":                {"repository_id": 123456789},
		}},
		"GitLab CI": {"gitlab-ci", gitLabClaims, "gitlab:example/shop:v2.0.0", map[string]claims{
			"a project that got the path later": {"project_id": "21"},
			"another group":                     {"namespace_id": "73"},
			"a ref that is not protected":       {"ref_protected": "false"},
			"protected as another type":         {"ref_protected": true},
			"no protection":                     {"ref_protected": nil},
		}},
		"Google Pub/Sub": {
			"google-pubsub", googleClaims, "google:postern@example.iam.gserviceaccount.com", map[string]claims{
				"another service account": {"email": "postern@other.iam.gserviceaccount.com"},
				"not verified":            {"email_verified": false},
				"verified as a text":      {"email_verified": "true"},
				"nothing about verified":  {"email_verified": nil},
			},
		},
		"Azure": {"azure", azureClaims, "azure:99999999-8888-7777-6666-555555555555", map[string]claims{
			"another tenant":   {"tid": "00000000-2222-3333-4444-555555555555"},
			"another identity": {"oid": "00000000-8888-7777-6666-555555555555"},
			"no identity":      {"oid": nil},
		}},
		"Azure, version 2": {"azure", azureV2Claims, "azure:99999999-8888-7777-6666-555555555555", map[string]claims{
			"another tenant":      {"tid": "00000000-2222-3333-4444-555555555555"},
			"another application": {"azp": "00000000-6666-5555-4444-333333333333"},
		}},
	} {
		t.Run(preset, func(t *testing.T) {
			issuer := newSigner(t, "k1")
			secrets := secretsWith(newVerifier(t, Dial{}), withKeys(t, readPreset(t, test.file), issuer))
			name, rejection := send(t, secrets, issuer.token(t, test.claims))
			if rejection != nil || name != test.name {
				t.Fatalf("got %q, %+v; want %q", name, rejection, test.name)
			}
			for what, changed := range test.others {
				name, rejection := send(t, secrets, issuer.token(t, but(test.claims, changed)))
				if rejection == nil || rejection.Reason != credential.ReasonClaimsNotAccepted {
					t.Errorf("%s: got %q, %+v; want ClaimsNotAccepted", what, name, rejection)
				}
			}
		})
	}
}

// Google's tokens may name their issuer without the scheme.
func TestPresets_GoogleWithoutScheme(t *testing.T) {
	issuer := newSigner(t, "k1")
	secrets := secretsWith(newVerifier(t, Dial{}), withKeys(t, readPreset(t, "google-pubsub"), issuer))
	_, rejection := send(t, secrets, issuer.token(t, but(googleClaims, map[string]any{"iss": "accounts.google.com"})))
	if rejection != nil {
		t.Errorf("got %+v", rejection)
	}
}
