// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/oidc"
)

// OIDC are the flags of the issuers of tokens that namespaces may trust.
type OIDC struct {
	IssuerHosts    []string
	IssuerNetworks []string
}

// newOIDC returns the hosts of the issuers that docs/oidc.md describes, and of their keys.
func newOIDC() OIDC {
	return OIDC{IssuerHosts: []string{
		"accounts.google.com", "www.googleapis.com",
		"gitlab.com",
		"login.microsoftonline.com", "sts.windows.net",
		"token.actions.githubusercontent.com",
	}}
}

func (o *OIDC) addFlags(sets *cliflag.NamedFlagSets) {
	fs := sets.FlagSet("token issuers")
	fs.StringSliceVar(&o.IssuerHosts, "oidc-issuer-hosts", o.IssuerHosts,
		"The hosts, with the port if it is not 443, from which the keys of OIDC issuers may be fetched, over https. "+
			"Namespaces choose among them. Both the issuer and the host of its keys must be listed. If empty, none "+
			"are fetched; then only issuers with keys in the Secret can be used.")
	fs.StringSliceVar(&o.IssuerNetworks, "oidc-issuer-networks", o.IssuerNetworks,
		"The networks, such as 10.1.0.0/16, in which these hosts may be, in addition to public addresses.")
}

// Dial returns where keys may be fetched from. It returns all errors in the flags.
func (o *OIDC) Dial() (oidc.Dial, []error) {
	dial := oidc.Dial{Hosts: o.IssuerHosts}
	var errs []error
	for _, host := range o.IssuerHosts {
		if !isHost(host) {
			errs = append(errs, fmt.Errorf(
				"--oidc-issuer-hosts has %q: it must be a host, or a host and a port, without scheme and path", host))
		}
	}
	for _, text := range o.IssuerNetworks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--oidc-issuer-networks has %q: it must be a network such as 10.1.0.0/16",
				text))
			continue
		}
		dial.Networks = append(dial.Networks, network.Masked())
	}
	return dial, errs
}

// isHost reports whether text is a name or an address, with or without a port.
func isHost(text string) bool {
	host := text
	if h, port, err := net.SplitHostPort(text); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return len(validation.IsDNS1123Subdomain(strings.ToLower(host))) == 0
}
