// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
)

// parseOIDC returns the options that flags set.
func parseOIDC(t *testing.T, args ...string) OIDC {
	t.Helper()
	o := newOIDC()
	var sets cliflag.NamedFlagSets
	o.addFlags(&sets)
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		all.AddFlagSet(set)
	}
	if err := all.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOIDC_Dial(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string // "" if they are valid
	}{
		{nil, ""},
		{[]string{"--oidc-issuer-hosts="}, ""},
		{[]string{"--oidc-issuer-hosts=gitlab.example.com,GitLab.example.com:8443,127.0.0.1:1,[::1]:8443"}, ""},
		{[]string{"--oidc-issuer-networks=10.1.0.0/16,fd00::/8"}, ""},
		{[]string{"--oidc-issuer-hosts=https://gitlab.com"}, "without scheme"},
		{[]string{"--oidc-issuer-hosts=gitlab.com/x"}, "without scheme"},
		{[]string{"--oidc-issuer-hosts=*.example.com"}, "must be a host"},
		{[]string{"--oidc-issuer-hosts=gitlab.com:0"}, "must be a host"},
		{[]string{"--oidc-issuer-hosts=gitlab.com:https"}, "must be a host"},
		{[]string{"--oidc-issuer-networks=10.1.0.0"}, "must be a network"},
	} {
		o := parseOIDC(t, test.args...)
		_, errs := o.Dial()
		err := errors.Join(errs...)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v: got %v, want %q", test.args, err, test.says)
		}
	}
	if o := parseOIDC(t, "--oidc-issuer-hosts="); len(o.IssuerHosts) != 0 {
		t.Errorf("an empty flag leaves the hosts %q", o.IssuerHosts)
	}
}

// The issuers of the examples can be asked by default.
func TestOIDC_DefaultHostsAreThoseOfExamples(t *testing.T) {
	files, err := filepath.Glob("../../../../artifacts/senders/oidc/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	issuer := regexp.MustCompile(`(?m)^    url: (\S+)$`)
	found := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range issuer.FindAllStringSubmatch(string(content), -1) {
			found++
			u, err := url.Parse(match[1])
			if err != nil || !slices.Contains(newOIDC().IssuerHosts, u.Host) {
				t.Errorf("%s: the host of %s is not a default (%v)", file, match[1], err)
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d issuers", found)
	}
}
