// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample has values of a setting.
type sample struct {
	byDefault string
	// one and another are valid and differ from the default, and from each other if there are more than two values.
	one, another string
	// bad is an invalid value, "" if all are valid; wantErr is a part of the error about it.
	bad, wantErr string
}

const suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"

// samples returns samples by flag name.
func samples() map[string]sample {
	secret := sample{one: "one", another: "another"}
	return map[string]sample{
		"enable-webhook":               {"false", "true", "false", "maybe", "invalid syntax"},
		"webhook-bind-address":         {"0.0.0.0", "127.0.0.1", "::1", "localhost", "failed to parse IP"},
		"webhook-port":                 {"8082", "0", "65535", "65536", "is 65536: it must be from 0 to 65535"},
		"webhook-namespaces":           {"", "shop,plant", "*", "shop,,plant", "a namespace name is empty"},
		"webhook-require-secret":       {"true", "false", "true", "yes please", "invalid syntax"},
		"webhook-ratelimit-allowed":    {"0", "100", "10/s", "10/d", `"10/d" is not a valid rate`},
		"disable-tls":                  {"false", "true", "false", "off", "invalid syntax"},
		"tlsminversion":                {"1.3", "1.2", "1.1", "1.0", `"1.0" is not a supported TLS version`},
		"tlsmaxversion":                {"1.3", "TLS1.3", "tls1.3", "1.4", `"1.4" is not a supported TLS version`},
		"tlsciphers":                   {"", suite, suite + ":" + suite, "RC4", `"RC4" is not a secure cipher suite`},
		"enable-http2":                 {"false", "true", "false", "h2", "invalid syntax"},
		"webhook-tls-cert-file":        {defaultReceiverCertFile, "a.crt", "b.crt", "", ""},
		"webhook-tls-private-key-file": {defaultReceiverKeyFile, "a.key", "b.key", "", ""},
		"hmac-secret-file":             {"", "a", "b", "", ""},
		"token-file":                   {"", "a", "b", "", ""},
		"docker-webhook-secret":        secret,
		"ghcr-webhook-secret":          secret,
		"harbor-webhook-secret":        secret,
		"quay-webhook-secret":          secret,
		"aliyun-acr-webhook-secret":    secret,
		"acr-webhook-secret":           secret,
		"cloudevents-webhook-secret":   secret,
	}
}

func TestEnvironment_Precedence(t *testing.T) {
	for _, setting := range Settings() {
		if setting.Flag == "" {
			continue
		}
		s, found := samples()[setting.Flag]
		if !found {
			t.Errorf("no sample for --%s", setting.Flag)
			continue
		}
		tests := []struct{ name, flag, variable, want string }{
			{"by default", "", "", s.byDefault},
			{"by flag", s.one, "", s.one},
			{"by the other value of the flag", s.another, "", s.another},
		}
		if setting.Env != "" {
			tests = append(tests, []struct{ name, flag, variable, want string }{
				{"by variable", "", s.one, s.one},
				{"by variable with white space, as from a file", "", " " + s.one + "\n", s.one},
				{"by an empty variable", "", " ", s.byDefault},
				{"by flag in spite of a variable", s.one, s.another, s.one},
				{"by flag in spite of a variable, the other way round", s.another, s.one, s.another},
				{"by flag in spite of a bad variable", s.one, s.bad, s.one},
			}...)
		}
		for _, test := range tests {
			args := slices.Clone(certFileArgs)
			if test.flag != "" {
				args = append(args, "--"+setting.Flag+"="+test.flag)
			}
			environment := map[string]string{setting.Env: test.variable}
			if setting.Flag == "enable-webhook" {
				environment["WEBHOOK_NAMESPACES"] = "shop"
			}
			if _, flags, err := parseIn(environment, args...); err != nil {
				t.Errorf("--%s %s: %v", setting.Flag, test.name, err)
			} else if got := flags.Lookup(setting.Flag).Value.String(); got != test.want {
				t.Errorf("--%s %s: got %q, want %q", setting.Flag, test.name, got, test.want)
			}
		}
	}
}

func TestEnvironment_ErrorNamesFlagOrVariable(t *testing.T) {
	for _, setting := range Settings() {
		s := samples()[setting.Flag]
		if s.bad == "" {
			continue
		}
		_, _, err := parseIn(nil, append(certFileArgs[:2:2], "--"+setting.Flag+"="+s.bad)...)
		checkError(t, "--"+setting.Flag, err, "--"+setting.Flag, s.wantErr)
		_, _, err = parseIn(map[string]string{setting.Env: s.bad}, certFileArgs...)
		checkError(t, setting.Env, err, setting.Env, s.wantErr)
	}
}

func checkError(t *testing.T, name string, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s is accepted", name)
		return
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got error %v, want %q in it", name, err, text)
		}
	}
}

func TestEnvironment_ReportsAllErrors(t *testing.T) {
	_, _, err := parseIn(map[string]string{"ENABLE_WEBHOOK": "maybe", "WEBHOOK_PORT": "http", "DISABLE_TLS": "no"},
		certFileArgs...)
	checkError(t, "of another type", err, `ENABLE_WEBHOOK is "maybe"`, `WEBHOOK_PORT is "http"`, `DISABLE_TLS is "no"`)
	_, _, err = parseIn(map[string]string{
		"ENABLE_WEBHOOK": "true", "WEBHOOK_PORT": "-1", "TLS_MIN_VERSION": "2", "TLS_CIPHERS": "a:b",
	}, certFileArgs...)
	checkError(t, "out of bounds", err, "ENABLE_WEBHOOK needs --webhook-namespaces", "WEBHOOK_PORT is -1",
		`TLS_MIN_VERSION: "2"`, `TLS_CIPHERS: "a"`, `TLS_CIPHERS: "b"`)
}

func TestEnvironment_BooleansInAnyCase(t *testing.T) {
	for value, want := range map[string]bool{
		"true": true, "True": true, "TRUE": true, "tRUE": true, "1": true, "False": false, "0": false,
	} {
		o, _, err := parseIn(map[string]string{"DISABLE_TLS": value}, certFileArgs...)
		if err != nil {
			t.Errorf("%s: %v", value, err)
		} else if o.Receiver.DisableTLS != want {
			t.Errorf("%s: got %v", value, o.Receiver.DisableTLS)
		}
	}
}

// The manifests set the variables from keys that users may know from Argo CD Image Updater.
func TestEnvironment_NamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, setting := range Settings() {
		for _, name := range []string{
			"flag " + setting.Flag, "variable " + setting.Env, "key " + setting.ConfigMapKey, "secret key " +
				setting.SecretKey,
		} {
			if !strings.HasSuffix(name, " ") && seen[name] {
				t.Errorf("two settings have the %s", name)
			}
			seen[name] = true
		}
		if setting.Env == "" && (setting.Flag == "" || setting.ConfigMapKey != "" || setting.SecretKey != "") {
			t.Errorf("%+v can't be set", setting)
		}
	}
	var documented []string
	for _, setting := range Settings() {
		if setting.ConfigMapKey != "" {
			documented = append(documented, setting.ConfigMapKey)
		}
	}
	want := []string{
		"webhook.enable", "webhook.port", "webhook.namespaces", "webhook.require-secret", "webhook.ratelimit-allowed",
		"disable-tls", "tls.min-version", "tls.max-version", "tls.ciphers",
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("keys of the ConfigMap (-want +got):\n%s", diff)
	}
}
