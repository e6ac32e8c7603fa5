// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Bounds of one value. A namespace's owner may write anything into it.
const (
	maxValueBytes      = 32 << 10
	maxIssuers         = 8
	maxAudiences       = 16
	maxRules           = 16 // of each kind
	maxExpressionBytes = 2048
	maxTextBytes       = 512 // URLs, names of claims, messages
	maxCABytes         = 16 << 10
)

// configuration is the value of a key: the jwt entries of the kube-apiserver's AuthenticationConfiguration.
type configuration struct {
	APIVersion string  `json:"apiVersion,omitempty"`
	Kind       string  `json:"kind,omitempty"`
	JWT        []entry `json:"jwt"`
}

// entry is one issuer. JWKS are its keys, as the issuer publishes them; without them they are fetched.
type entry struct {
	apiserverv1.JWTAuthenticator `json:",inline"`

	JWKS json.RawMessage `json:"jwks,omitempty"`
}

// errNotAConfiguration does not repeat the value: someone may have put a secret under the key.
var errNotAConfiguration = errors.New("the value is not an object with a list jwt, in YAML or JSON, " +
	"as in the kube-apiserver's AuthenticationConfiguration")

// decodeConfiguration decodes a value strictly and returns all problems that need no compilation.
func decodeConfiguration(value []byte) (*configuration, error) {
	if len(value) > maxValueBytes {
		return nil, fmt.Errorf("the value has %d bytes; at most %d are allowed", len(value), maxValueBytes)
	}
	if err := checkYAML(value); err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(value)
	if err != nil {
		return nil, errNotAConfiguration
	}
	var c configuration
	strict, err := kjson.UnmarshalStrict(asJSON, &c)
	if err != nil {
		return nil, errNotAConfiguration
	}
	switch {
	case len(strict) == 0:
		return &c, c.validate()
	case strings.Contains(strict[0].Error(), `"jwt[`):
		return nil, strict[0]
	}
	return nil, errNotAConfiguration
}

// checkYAML rejects aliases, with which a short text can demand much memory.
func checkYAML(value []byte) error {
	var root yamlnode.Node
	if err := yamlnode.Unmarshal(value, &root); err != nil || len(root.Content) != 1 {
		return errNotAConfiguration
	}
	if root.Content[0].Kind != yamlnode.MappingNode {
		return errNotAConfiguration
	}
	nodes := []*yamlnode.Node{&root}
	for len(nodes) > 0 {
		node := nodes[len(nodes)-1]
		if node.Kind == yamlnode.AliasNode {
			return errors.New("the value has a YAML alias, which is not allowed")
		}
		nodes = append(nodes[:len(nodes)-1], node.Content...)
	}
	return nil
}

func (c *configuration) validate() error {
	var errs []error
	if c.Kind != "" && c.Kind != "AuthenticationConfiguration" ||
		c.APIVersion != "" && !strings.HasPrefix(c.APIVersion, apiserver.GroupName+"/") {
		errs = append(errs, errors.New(
			"apiVersion and kind, if given, must be those of an AuthenticationConfiguration"))
	}
	if len(c.JWT) > maxIssuers {
		return fmt.Errorf("jwt has %d issuers; at most %d are allowed", len(c.JWT), maxIssuers)
	}
	for i := range c.JWT {
		for _, err := range c.JWT[i].validate() {
			errs = append(errs, fmt.Errorf("jwt[%d].%w", i, err))
		}
		if slices.ContainsFunc(c.JWT[:i], func(e entry) bool { return e.Issuer.URL == c.JWT[i].Issuer.URL }) {
			errs = append(errs, fmt.Errorf("jwt[%d].issuer.url is that of another entry: combine their rules", i))
		}
	}
	return errors.Join(errs...)
}

// validate checks what has to be known before anything is compiled or fetched: bounds, what Postern does not support,
// and the URLs. The library checks the rest.
func (e *entry) validate() (errs []error) {
	report := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	errs = e.validateIssuer()
	mappings := e.ClaimMappings
	if mappings.Groups.Claim != "" || mappings.Groups.Expression != "" || mappings.UID.Claim != "" ||
		mappings.UID.Expression != "" || len(mappings.Extra) > 0 {
		report("claimMappings supports only username: a delivery has no groups, uid or extra")
	}
	if len(e.ClaimValidationRules) > maxRules || len(e.UserValidationRules) > maxRules {
		report("claimValidationRules and userValidationRules may have %d entries each", maxRules)
	}
	if slices.ContainsFunc(e.texts(), func(text string) bool { return len(text) > maxTextBytes }) {
		report("issuer and its rules: a name, value or message has more than %d bytes", maxTextBytes)
	}
	if slices.ContainsFunc(e.expressions(), func(text string) bool { return len(text) > maxExpressionBytes }) {
		report("issuer and its rules: an expression has more than %d bytes", maxExpressionBytes)
	}
	return errs
}

func (e *entry) validateIssuer() (errs []error) {
	report := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if err := checkURL(e.Issuer.URL); err != nil {
		report("issuer.url %w", err)
	}
	if discovery := text(e.Issuer.DiscoveryURL); discovery != "" {
		if err := checkURL(discovery); err != nil {
			report("issuer.discoveryURL %w", err)
		}
		if e.JWKS != nil {
			report("jwks: with it, issuer.discoveryURL is not used")
		}
	}
	switch {
	case e.Issuer.EgressSelectorType != "":
		report("issuer.egressSelectorType is not supported")
	case len(e.Issuer.CertificateAuthority) > maxCABytes:
		report("issuer.certificateAuthority has more than %d bytes", maxCABytes)
	case len(e.Issuer.Audiences) == 0 || len(e.Issuer.Audiences) > maxAudiences:
		report("issuer.audiences must have from 1 to %d entries", maxAudiences)
	}
	return errs
}

// texts returns all texts that are not expressions.
func (e *entry) texts() []string {
	texts := append(slices.Clone(e.Issuer.Audiences), e.ClaimMappings.Username.Claim,
		text(e.ClaimMappings.Username.Prefix))
	for _, rule := range e.ClaimValidationRules {
		texts = append(texts, rule.Claim, rule.RequiredValue, rule.Message)
	}
	for _, rule := range e.UserValidationRules {
		texts = append(texts, rule.Message)
	}
	return texts
}

func (e *entry) expressions() []string {
	expressions := []string{e.ClaimMappings.Username.Expression}
	for _, rule := range e.ClaimValidationRules {
		expressions = append(expressions, rule.Expression)
	}
	for _, rule := range e.UserValidationRules {
		expressions = append(expressions, rule.Expression)
	}
	return expressions
}

func checkURL(text string) error {
	if len(text) > maxTextBytes {
		return fmt.Errorf("has more than %d bytes", maxTextBytes)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.ForceQuery {
		return errors.New("must be an https:// URL without user, query and fragment")
	}
	return nil
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
