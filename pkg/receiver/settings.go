// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

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

// DefaultSecrets returns the cluster-wide default secrets that the environment may set. WEBHOOK_HMAC_SECRET and
// WEBHOOK_BEARER_TOKEN are Stoker's: cmd/controller/main.go in ia-eknorr/stoker-operator.
func DefaultSecrets() []DefaultSecretEnv {
	return []DefaultSecretEnv{
		{Flag: "docker-webhook-secret", Env: "DOCKER_WEBHOOK_SECRET", Key: "webhook.docker-secret"},
		{Flag: "ghcr-webhook-secret", Env: "GHCR_WEBHOOK_SECRET", Key: "webhook.ghcr-secret"},
		{Flag: "harbor-webhook-secret", Env: "HARBOR_WEBHOOK_SECRET", Key: "webhook.harbor-secret"},
		{Flag: "quay-webhook-secret", Env: "QUAY_WEBHOOK_SECRET", Key: "webhook.quay-secret"},
		{Flag: "aliyun-acr-webhook-secret", Env: "ALIYUN_ACR_WEBHOOK_SECRET", Key: "webhook.aliyun-acr-secret"},
		{Flag: "acr-webhook-secret", Env: "ACR_WEBHOOK_SECRET", Key: "webhook.acr-secret"},
		{Flag: "cloudevents-webhook-secret", Env: "CLOUDEVENTS_WEBHOOK_SECRET", Key: "webhook.cloudevents-secret"},
		{Env: "WEBHOOK_HMAC_SECRET", Key: "hmac"},
		{Env: "WEBHOOK_BEARER_TOKEN", Key: "token"},
	}
}
