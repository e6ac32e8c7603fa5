// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/servingcert"
)

func TestCertificateOptions_ManagedUnlessFilesAreGiven(t *testing.T) {
	for _, test := range []struct {
		args []string
		want bool
	}{
		{nil, true},
		{[]string{"--tls-cert-file=", "--tls-private-key-file="}, true},
		{certFileArgs, false},
	} {
		o, err := parse(test.args...)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.ManagesServingCert(); got != test.want {
			t.Errorf("%v: got %v, want %v", test.args, got, test.want)
		}
	}
}

func TestCertificateOptions_NamespaceDefaultsToPod(t *testing.T) {
	type names struct {
		Service       servingcert.Service
		Secret, Lease string
	}
	for _, test := range []struct {
		environment string
		args        []string
		want        names
	}{
		{"", nil, names{servingcert.Service{Namespace: "postern-system", Name: "postern"}, "postern-ca",
			"postern-system"}},
		{"tools", nil, names{servingcert.Service{Namespace: "tools", Name: "postern"}, "postern-ca", "tools"}},
		{
			"tools",
			[]string{
				"--service-namespace=ours", "--service-name=hooks", "--ca-secret-name=hooks.ca",
				"--leader-elect-resource-namespace=locks",
			},
			names{servingcert.Service{Namespace: "ours", Name: "hooks"}, "hooks.ca", "locks"},
		},
	} {
		t.Setenv("POD_NAMESPACE", test.environment)
		o, err := parse(test.args...)
		if err != nil {
			t.Fatal(err)
		}
		got := names{o.ServingCert.Service, o.ServingCert.CASecretName, o.LeaderElection.ResourceNamespace}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q %v: names (-want +got):\n%s", test.environment, test.args, diff)
		}
	}
}

func TestCertificateOptions_InvalidNameNamesFlag(t *testing.T) {
	for _, test := range []struct{ bad, names string }{
		{"--service-name=", `--service-name is ""`},
		{"--service-name=a.b", `--service-name is "a.b"`},
		{"--service-namespace=A", `--service-namespace is "A"`},
		{"--ca-secret-name=a/b", `--ca-secret-name is "a/b"`},
		{"--ca-validity=1h", "--serving-cert-validity is 24h0m0s"},
		{"--serving-cert-validity=1s", "--serving-cert-validity is 1s: it must be at least 5s"},
	} {
		if _, err := parse(test.bad); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: got error %v", test.bad, err)
		}
		if _, err := parse(append(certFileArgs[:2:2], test.bad)...); err != nil {
			t.Errorf("%s with --tls-cert-file: %v", test.bad, err)
		}
	}
}

func TestCertificateOptions_ValidityFlagsAreHidden(t *testing.T) {
	sets := New().Flags()
	shown := sets.FlagSets["managed certificates"].FlagUsages() + sets.FlagSets["serving"].FlagUsages()
	for _, flag := range []string{"--ca-validity", "--serving-cert-validity", "--cert-dir"} {
		if strings.Contains(shown, flag) {
			t.Errorf("%s is shown", flag)
		}
	}
	if !strings.Contains(shown, "--ca-secret-name") {
		t.Error("--ca-secret-name is not shown")
	}
}
