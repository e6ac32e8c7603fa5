// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/payload"
)

// Setting has a flag, an environment variable, or both. A flag takes precedence. The shipped manifests set the variable
// from an optional key of a ConfigMap or Secret.
type Setting struct {
	Flag, Env string
	// ConfigMapKey and SecretKey are the source of Env in a cluster, "" if there is none.
	ConfigMapKey, SecretKey string
}

// DefaultSecretSetting maps a flag and a variable with a default secret to its key, in Postern's Secret as in the
// namespaces'.
type DefaultSecretSetting struct{ Flag, Env, Key string }

// Settings returns the settings of the classic receiver and the default secrets. They have the names of Argo CD
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
	for _, secret := range DefaultSecretSettings() {
		settings = append(settings, Setting{Flag: secret.Flag, Env: secret.Env, SecretKey: secret.Key})
	}
	return settings
}

// DefaultSecretSettings returns the cluster-wide default secrets that the environment may set: those of Argo CD Image
// Updater, such as DOCKER_WEBHOOK_SECRET, and WEBHOOK_HMAC_SECRET and WEBHOOK_BEARER_TOKEN of Stoker:
// cmd/controller/main.go in knorrlabs/stoker-operator.
func DefaultSecretSettings() []DefaultSecretSetting {
	var secrets []DefaultSecretSetting
	for _, sender := range payload.Senders() {
		if sender.SecretFlag {
			flag := strings.TrimSuffix(sender.Name, ".io") + "-webhook-secret"
			env := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			secrets = append(secrets, DefaultSecretSetting{Flag: flag, Env: env, Key: payload.SecretKey(sender.Name)})
		}
	}
	return append(secrets,
		DefaultSecretSetting{Env: "WEBHOOK_HMAC_SECRET", Key: "hmac"},
		DefaultSecretSetting{Env: "WEBHOOK_BEARER_TOKEN", Key: "token"})
}

// explicitSettings are the settings that do not have their default. The zero value has none.
type explicitSettings struct {
	flags *pflag.FlagSet
	// envVars are the environment variables that were used, by flag name.
	envVars map[string]string
}

// readEnvironment sets flags that are not given from their environment variables; an empty variable is ignored. The
// error names all variables with invalid values.
//
// The variables are not the defaults of the flags, because --help prints defaults and some variables are secrets.
func readEnvironment(flags *pflag.FlagSet, lookup func(string) string) (explicitSettings, error) {
	g := explicitSettings{flags: flags, envVars: map[string]string{}}
	var errs []error
	for _, setting := range Settings() {
		flag := flags.Lookup(setting.Flag)
		value := strings.TrimSpace(lookup(setting.Env))
		if flag == nil || flag.Changed || setting.Env == "" || value == "" {
			continue
		}
		if flag.Value.Type() == "bool" {
			value = strings.ToLower(value) // YAML allows True
		}
		if err := flag.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q, which is not valid for --%s: %w", setting.Env, value,
				setting.Flag, rootCause(err)))
			continue
		}
		g.envVars[setting.Flag] = setting.Env
	}
	return g, errors.Join(errs...)
}

// rootCause returns the innermost error, which does not include the value.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// name returns the environment variable that set a flag, or the flag itself.
func (g explicitSettings) name(flag string) string {
	if envVar, found := g.envVars[flag]; found {
		return envVar
	}
	return "--" + flag
}

// explicit returns the names of the given settings among flags.
func (g explicitSettings) explicit(flags ...string) []string {
	var names []string
	for _, flag := range flags {
		_, fromEnv := g.envVars[flag]
		if fromEnv || g.flags != nil && g.flags.Changed(flag) {
			names = append(names, g.name(flag))
		}
	}
	return names
}

// addEnvToUsage appends the environment variable to the usage of each flag that has one.
func addEnvToUsage(sets *cliflag.NamedFlagSets) {
	for _, setting := range Settings() {
		for _, set := range sets.FlagSets {
			if flag := set.Lookup(setting.Flag); flag != nil && setting.Env != "" {
				flag.Usage += fmt.Sprintf(" Environment variable: %s.", setting.Env)
			}
		}
	}
}
