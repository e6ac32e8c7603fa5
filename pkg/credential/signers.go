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

// signature is a form in which a sender signs a delivery. What no form covers is the rest of the request: its path, its
// query and its other headers.
type signature int

const (
	bySHA256       signature = iota // HMAC-SHA256 of the body, in one of signatureHeaders
	bySigningToken                  // HMAC-SHA256 of id, time and body, by a signing token
	byJFrog                         // HMAC-SHA256 of the body, in jfrogHeader
	bySHA1                          // HMAC-SHA1 of the body, in nexusHeader
)

// signers are the senders that sign, and how each does. A signature of any other sender proves nothing: that sender did
// not make it, and much of what it says may be where no signature reaches, such as the headers of a binary CloudEvent.
var signers = map[string][]signature{
	sourceBitbucket:       {bySHA256},
	sourceBitbucketServer: {bySHA256},
	sourceGeneric:         {bySHA256, bySigningToken},
	sourceGHCR:            {bySHA256},
	sourceGitea:           {bySHA256},
	sourceGitHub:          {bySHA256},
	sourceGitLab:          {bySHA256, bySigningToken}, // the first by a proxy or relay, which has no other way to sign
	sourceJFrog:           {byJFrog},
	sourceNexus:           {bySHA1},
}

// undetected are the forms that are read while the sender is not known. It is verified again once it is. SHA-1 is read
// only where the sender is known to be Nexus.
var undetected = []signature{bySHA256, bySigningToken, byJFrog}

// signsBy reports whether a type of sender, "" if it is not known yet, signs in that form.
func signsBy(source string, form signature) bool {
	if source == "" {
		return slices.Contains(undetected, form)
	}
	return slices.Contains(signers[source], form)
}

func signs(source string) bool { return len(signers[source]) > 0 }

func signerNames() []string { return slices.Sorted(maps.Keys(signers)) }
