// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"strings"

	"postern.dev/postern/pkg/payload"
)

// Setting has a flag, an environment variable, or both. A flag takes precedence. The shipped manifests set the variable
// from an optional key of a ConfigMap or Secret.
type Setting struct {
	Flag, Env string
	// ConfigMapKey and SecretKey are the source of Env in a cluster, "" if there is none.
	ConfigMapKey, SecretKey string
}

// DefaultSecretEnv maps a flag and a variable with a default secret to its key, in Postern's Secret as in the
// namespaces'.
type DefaultSecretEnv struct{ Flag, Env, Key string }

// Settings returns the settings of the classic receiver and of the default secrets. They have the names of Argo CD
// Image Updater where it has the same setting: docs/configuration/webhook.md in argoproj-labs/argocd-image-updater.
func Settings() []Setting {
	settings := []Setting{
		{Flag: "enable-webhook", Env: "ENABLE_WEBHOOK", ConfigMapKey: "webhook.enable"},
		{Flag: "webhook-bind-address", Env: "WEBHOOK_BIND_ADDRESS"},
		{Flag: "webhook-port", Env: "WEBHOOK_PORT", ConfigMapKey: "webhook.port"},
		{Flag: "webhook-namespaces", Env: "WEBHOOK_NAMESPACES", ConfigMapKey: "webhook.namespaces"},
		{Flag: "webhook-require-secret", Env: "WEBHOOK_REQUIRE_SECRET", ConfigMapKey: "webhook.require-secret"},
		{Flag: "webhook-ratelimit-allowed", Env: "WEBHOOK_RATELIMIT_ALLOWED",
			ConfigMapKey: "webhook.ratelimit-allowed"},
		{Flag: "disable-tls", Env: "DISABLE_TLS", ConfigMapKey: "disable-tls"},
		{Flag: "tlsminversion", Env: "TLS_MIN_VERSION", ConfigMapKey: "tls.min-version"},
		{Flag: "tlsmaxversion", Env: "TLS_MAX_VERSION", ConfigMapKey: "tls.max-version"},
		{Flag: "tlsciphers", Env: "TLS_CIPHERS", ConfigMapKey: "tls.ciphers"},
		{Flag: "enable-http2", Env: "ENABLE_HTTP2"},
		{Flag: "webhook-tls-cert-file"},
		{Flag: "webhook-tls-private-key-file"},
		{Flag: "hmac-secret-file"},
		{Flag: "token-file"},
	}
	for _, secret := range DefaultSecrets() {
		settings = append(settings, Setting{Flag: secret.Flag, Env: secret.Env, SecretKey: secret.Key})
	}
	return settings
}

// DefaultSecrets returns the cluster-wide default secrets that the environment may set: those of Argo CD Image Updater,
// such as DOCKER_WEBHOOK_SECRET, and WEBHOOK_HMAC_SECRET and WEBHOOK_BEARER_TOKEN of Stoker: cmd/controller/main.go in
// ia-eknorr/stoker-operator.
func DefaultSecrets() []DefaultSecretEnv {
	var secrets []DefaultSecretEnv
	for _, sender := range payload.Senders() {
		if sender.SecretFlag {
			flag := strings.TrimSuffix(sender.Name, ".io") + "-webhook-secret"
			env := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			secrets = append(secrets, DefaultSecretEnv{Flag: flag, Env: env, Key: payload.SecretKey(sender.Name)})
		}
	}
	return append(secrets,
		DefaultSecretEnv{Env: "WEBHOOK_HMAC_SECRET", Key: "hmac"},
		DefaultSecretEnv{Env: "WEBHOOK_BEARER_TOKEN", Key: "token"})
}
