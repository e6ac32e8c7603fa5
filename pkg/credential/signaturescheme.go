// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"maps"
	"slices"
)

// The git hosts and tools that sign; see source.go for registries.
const (
	sourceBitbucket       = "bitbucket"
	sourceBitbucketServer = "bitbucket-server"
	sourceGeneric         = "generic"
	sourceGitea           = "gitea"
	sourceGitHub          = "github"
	sourceGitLab          = "gitlab"
)

// signatureScheme is a form in which a sender signs a delivery. No scheme covers the path, the query and the other
// headers of the request.
type signatureScheme int

const (
	schemeSHA256       signatureScheme = iota // HMAC-SHA256 of the body, in one of secretheader.Signatures
	schemeSigningToken                        // HMAC-SHA256 of id, time and body, by a signing token
	schemeJFrog                               // HMAC-SHA256 of the body, in secretheader.JFrog
	schemeSHA1                                // HMAC-SHA1 of the body, in secretheader.Nexus
)

// schemesBySource are the types of sender that sign. A signature from any other type is not accepted: that sender did
// not make it, and may have content that no signature covers, such as the headers of a binary CloudEvent.
var schemesBySource = map[string][]signatureScheme{
	sourceBitbucket:       {schemeSHA256},
	sourceBitbucketServer: {schemeSHA256},
	sourceGeneric:         {schemeSHA256, schemeSigningToken},
	sourceGHCR:            {schemeSHA256},
	sourceGitea:           {schemeSHA256},
	sourceGitHub:          {schemeSHA256},
	sourceGitLab:          {schemeSHA256, schemeSigningToken}, // the first by a proxy or relay
	sourceJFrog:           {schemeJFrog},
	sourceNexus:           {schemeSHA1},
}

// schemesBeforeDetection are the schemes that are read before the type of sender is detected, after which the attempt
// is verified again. SHA-1 is read only if the sender is known to be Nexus.
var schemesBeforeDetection = []signatureScheme{schemeSHA256, schemeSigningToken, schemeJFrog}

// signsWith reports whether a type of sender signs with scheme. source is "" before detection.
func signsWith(source string, scheme signatureScheme) bool {
	if source == "" {
		return slices.Contains(schemesBeforeDetection, scheme)
	}
	return slices.Contains(schemesBySource[source], scheme)
}

func signs(source string) bool { return len(schemesBySource[source]) > 0 }

func signingSources() []string { return slices.Sorted(maps.Keys(schemesBySource)) }
