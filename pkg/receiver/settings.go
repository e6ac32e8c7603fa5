// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

// Setting is a setting that has a flag or an environment variable or both. A flag that is given beats the environment, and
// the shipped manifests feed the environment from a ConfigMap or a Secret, of which each key may be absent.
type Setting struct {
	Flag, Env string
	// ConfigMapKey and SecretKey are where Env comes from in a cluster, "" if from neither.
	ConfigMapKey, SecretKey string
}

// DefaultSecretEnv ties a variable that holds a cluster-wide default secret to its key, which is the same in Postern's own
// Secret and in those of the namespaces.
type DefaultSecretEnv struct{ Flag, Env, Key string }

// Settings are those of the classic receiver and of the secrets that count in every namespace. Their names are those of
// Argo CD Image Updater where it has them: docs/configuration/webhook.md in argoproj-labs/argocd-image-updater.
func Settings() []Setting {
	settings := []Setting{
		{Flag: "enable-webhook", Env: "ENABLE_WEBHOOK", ConfigMapKey: "webhook.enable"},
		{Flag: "webhook-bind-address", Env: "WEBHOOK_BIND_ADDRESS"},
		{Flag: "webhook-port", Env: "WEBHOOK_PORT", ConfigMapKey: "webhook.port"},
		{Flag: "webhook-namespaces", Env: "WEBHOOK_NAMESPACES", ConfigMapKey: "webhook.namespaces"},
		{Flag: "webhook-require-secret", Env: "WEBHOOK_REQUIRE_SECRET", ConfigMapKey: "webhook.require-secret"},
		{Flag: "webhook-ratelimit-allowed", Env: "WEBHOOK_RATELIMIT_ALLOWED", ConfigMapKey: "webhook.ratelimit-allowed"},
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

// DefaultSecrets are the cluster-wide default secrets that the environment may hold. WEBHOOK_HMAC_SECRET and
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
