// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"maps"
	"slices"
)

// The git hosts and tools that sign, beside the registries in source.go.
const (
	sourceBitbucket       = "bitbucket"
	sourceBitbucketServer = "bitbucket-server"
	sourceGeneric         = "generic"
	sourceGitea           = "gitea"
	sourceGitHub          = "github"
	sourceGitLab          = "gitlab"
)

// signatureScheme is a form in which a sender signs a delivery. What no form covers is the rest of the request: its path, its
// query and its other headers.
type signatureScheme int

const (
	schemeSHA256       signatureScheme = iota // HMAC-SHA256 of the body, in one of signatureHeaders
	schemeSigningToken                        // HMAC-SHA256 of id, time and body, by a signing token
	schemeJFrog                               // HMAC-SHA256 of the body, in jfrogHeader
	schemeSHA1                                // HMAC-SHA1 of the body, in nexusHeader
)

// schemesBySource are the senders that sign, and how each does. A signature of any other sender proves nothing: that sender did
// not make it, and much of what it says may be where no signature reaches, such as the headers of a binary CloudEvent.
var schemesBySource = map[string][]signatureScheme{
	sourceBitbucket:       {schemeSHA256},
	sourceBitbucketServer: {schemeSHA256},
	sourceGeneric:         {schemeSHA256, schemeSigningToken},
	sourceGHCR:            {schemeSHA256},
	sourceGitea:           {schemeSHA256},
	sourceGitHub:          {schemeSHA256},
	sourceGitLab:          {schemeSHA256, schemeSigningToken}, // the first by a proxy or relay, which has no other way to sign
	sourceJFrog:           {schemeJFrog},
	sourceNexus:           {schemeSHA1},
}

// schemesBeforeDetection are the forms that are read while the sender is not known. It is verified again once it is. SHA-1 is read
// only where the sender is known to be Nexus.
var schemesBeforeDetection = []signatureScheme{schemeSHA256, schemeSigningToken, schemeJFrog}

// signsWith reports whether a type of sender, "" if it is not known yet, signs in that form.
func signsWith(source string, scheme signatureScheme) bool {
	if source == "" {
		return slices.Contains(schemesBeforeDetection, scheme)
	}
	return slices.Contains(schemesBySource[source], scheme)
}

func signs(source string) bool { return len(schemesBySource[source]) > 0 }

func signingSources() []string { return slices.Sorted(maps.Keys(schemesBySource)) }
