// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// fetchTimeout bounds one fetch, of the discovery document and of the keys.
	fetchTimeout = 10 * time.Second
	// maxResponseBytes bounds each of both; those of large issuers have about 10 KiB.
	maxResponseBytes = 256 << 10
	// maxHeaderBytes bounds the headers of a response.
	maxHeaderBytes = 64 << 10

	discoveryPath = "/.well-known/openid-configuration"
)

// Dial limits where keys are fetched from. Namespaces configure issuers, so without limits they could make Postern send
// requests to any host that it reaches.
type Dial struct {
	// Hosts are the hosts that may be asked, each with an optional port; the default is 443.
	Hosts []string
	// Networks are the ranges of addresses, other than public ones, that these hosts may have.
	Networks []netip.Prefix
}

// checkURL returns an error for a URL that must not be asked.
func (d Dial) checkURL(text string) error {
	if err := checkURL(text); err != nil {
		return fmt.Errorf("the URL %.100q %w", text, err)
	}
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	host := strings.ToLower(u.Host)
	if u.Port() == "443" {
		host = strings.TrimSuffix(host, ":443")
	}
	if !slices.ContainsFunc(d.Hosts, func(allowed string) bool { return NormalizeHost(allowed) == host }) {
		return fmt.Errorf("the host %q is not in --oidc-issuer-hosts: add it there, or give the keys under jwks", host)
	}
	return nil
}

// NormalizeHost returns a host in lower case without the default port.
func NormalizeHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }

// nonPublic are the ranges that are not on the public internet and that netip has no method for.
var nonPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared by carriers, and by some clouds for metadata
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64: the IPv4 address in it may be any
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), // 6to4, the same
}

// checkAddress returns an error for an address that must not be dialed. It sees the address after the name is resolved,
// so a name that changes its address does not help.
func (d Dial) checkAddress(address string) error {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q can't be read", address)
	}
	ip := parsed.Addr().Unmap().WithZone("")
	contains := func(network netip.Prefix) bool { return network.Contains(ip) }
	public := ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(nonPublic, contains)
	if !public && !slices.ContainsFunc(d.Networks, contains) {
		return fmt.Errorf("its address %s is not public and not in --oidc-issuer-networks", ip)
	}
	return nil
}

// client returns a client for one fetch, which trusts the given authority, or those of the system if there is none.
func (d Dial) client(authority string) (*http.Client, error) {
	var roots *x509.CertPool
	if authority != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(authority)) {
			return nil, errors.New("certificateAuthority has no certificate")
		}
	}
	dialer := &net.Dialer{
		Timeout: fetchTimeout,
		Control: func(_, address string, _ syscall.RawConn) error { return d.checkAddress(address) },
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve the name, and the address could not be checked
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true, // the next fetch is minutes away
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// source is where the keys of an issuer are fetched from.
type source struct {
	issuer, discoveryURL, authority string
}

// fetch asks the issuer for its keys.
func (d Dial) fetch(ctx context.Context, s source) (keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	client, err := d.client(s.authority)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	discoveryURL := s.discoveryURL
	if discoveryURL == "" {
		discoveryURL = strings.TrimSuffix(s.issuer, "/") + discoveryPath
	}
	data, err := d.get(ctx, client, discoveryURL)
	if err != nil {
		return nil, err
	}
	var discovered struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &discovered); err != nil {
		return nil, fmt.Errorf("%s is not a discovery document", discoveryURL)
	}
	if discovered.Issuer != s.issuer {
		return nil, fmt.Errorf("%s is of another issuer than %s: issuer.url must be exactly the claim iss",
			discoveryURL, s.issuer)
	}
	data, err = d.get(ctx, client, discovered.JWKSURI)
	if err != nil {
		return nil, fmt.Errorf("jwks_uri: %w", err)
	}
	keys, err := parseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", discovered.JWKSURI, err)
	}
	return keys, nil
}

// get returns the body of a small response.
func (d Dial) get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	if err := d.checkURL(address); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	response, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", address, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponseBytes+1))
	if err != nil {
		return nil, fmt.Errorf("could not read %s: %w", address, err)
	}
	if len(body) > maxResponseBytes {
		return nil, fmt.Errorf("%s has more than %d bytes", address, maxResponseBytes)
	}
	return body, nil
}
