// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package payload describes the types of sender, each in a file of its own, and decodes their payloads into the events
// that they request.
//
// Payloads are untrusted: they may be malformed, hostile, from another sender or another version of one. Decode returns
// valid events only, or an error that names the field and the required form. It performs no I/O, depends on nothing but
// its arguments, and is safe for concurrent use. It does not verify that a sender is genuine; package credential does.
package payload

import (
	"net/http"
	"slices"
	"strings"
)

// Sender describes a type of sender: what it sends, and how it proves itself.
type Sender struct {
	// Name is the type, as in spec.source.
	Name string
	// Requests is RequestsGitRefs or RequestsImages.
	Requests string
	// Expects briefly describes the body, for errors.
	Expects string

	// Identity is set if it can send a ServiceAccount token as Authorization.
	Identity bool
	// OIDC is set if it can send a token of an OIDC issuer in a header of its own.
	OIDC bool
	// Signatures are the schemes by which it signs. A signature by any other is not accepted: the sender did not make
	// it, and may have content that no signature covers, such as the headers of a binary CloudEvent. The request must
	// follow from the body alone; see DecodeSigned.
	Signatures []SignatureScheme
	// Token is set if it can send its secret in a header.
	Token bool
	// QueryToken is set if the secret in the URL is accepted. Proxies' logs and the cluster's audit log have the URL,
	// so it is only for senders that can set neither a header nor a signature, and for CloudEvents, whose senders
	// differ.
	QueryToken bool
	// SecretFlag is set if Argo CD Image Updater has a flag and a variable for the secret. Postern has them too, for
	// the default secret.
	SecretFlag bool

	// family is shared by sender types that are one product: each accepts the deliveries of the others, and ignores
	// them, because a webhook may be subscribed to more events than its endpoint handles.
	family string
	// identifying are headers that identify the sender, the content or the delivery, and may be given only once.
	// Headers that proxies add to any request, such as X-Request-Id, must not be among them.
	identifying []string
	// kept are headers that describe the delivery and are recorded with it. They must not have a secret.
	kept []string
	// defaultBranch has the paths at which the body may have the default branch of the repository that was pushed to.
	defaultBranch [][]string

	// namedBy are the event headers that name this sender; nil if the sender has no such headers.
	namedBy condition
	// shape is the form of this sender's bodies, by which messages without event headers are detected. It must not
	// match messages that decode would misread.
	shape condition
	// accepts is the form that suffices if the caller names the sender: with the fields that decode uses, and no
	// others. It is nil if that is the shape. It, too, must not match messages that decode would misread.
	accepts condition
	// decode adds the events and ignored items of a message to the result. Decode validates and completes them.
	decode func(message, *Decoded) error
}

// What a sender requests.
const (
	RequestsGitRefs = "GitRefs"
	RequestsImages  = "Images"
)

// SignatureScheme is a form in which a sender signs a delivery. No scheme covers the path, the query and the other
// headers of the request.
type SignatureScheme int

// The schemes.
const (
	SignatureBody         SignatureScheme = iota // HMAC-SHA256 of the body, in one of secretheader.Signatures
	SignatureSigningToken                        // HMAC-SHA256 of id, time and body, by a signing token
	SignatureJFrog                               // HMAC-SHA256 of the body, in secretheader.JFrog
	SignatureNexus                               // HMAC-SHA1 of the body, in secretheader.Nexus
)

// senders is the table of sender types. It is read-only. Detection by header and by shape uses the first match, so a
// sender that also sends another sender's headers or shape comes first.
var senders = []Sender{
	giteaPackages, gitea, gitLab, bitbucketServer, bitbucket, azureDevOps, ghcr, gitHub, argoCD, kargo, nexus,
	distribution, zot, harbor, cloudEvents, dockerHub, aliyunACR, quay, acr, ecr, gar, jfrog, generic,
}

// sendersByName has the same senders, sorted by name.
var sendersByName = slices.SortedFunc(slices.Values(senders), func(a, b Sender) int {
	return strings.Compare(a.Name, b.Name)
})

// Senders returns all types of sender, sorted by name. The caller must not modify the list.
func Senders() []Sender { return sendersByName }

// Sources returns a new list of the names of all types of sender, sorted.
func Sources() []string {
	names := make([]string, 0, len(sendersByName))
	for _, s := range sendersByName {
		names = append(names, s.Name)
	}
	return names
}

// Lookup returns the type of sender of that name. Without one, it returns the zero value, which can prove nothing.
func Lookup(name string) (s Sender, found bool) {
	for _, s := range senders {
		if s.Name == name {
			return s, true
		}
	}
	return Sender{}, false
}

// OnlyOwnSecret reports whether the sender is verified only with the secret under its own key. The secret of a git host
// must not authenticate a registry.
func (s Sender) OnlyOwnSecret() bool { return s.Requests == RequestsImages }

// SecretKey returns the key of the secret of a type of sender. As in Argo CD Image Updater, the keys of registries that
// are named by their host omit the top-level domain.
func SecretKey(source string) string {
	return "webhook." + strings.TrimSuffix(source, ".io") + "-secret"
}

// RegistryURLKey returns the key, next to the secrets, of the address of the registry of a type of sender.
func RegistryURLKey(source string) string { return "webhook." + source + "-registry-url" }

// KeptHeaders returns the canonical names of the headers that are recorded with a delivery.
func KeptHeaders() []string {
	headers := unionOf([]string{"Content-Type", "User-Agent"}, func(s Sender) []string { return s.kept })
	for i, name := range headers {
		headers[i] = http.CanonicalHeaderKey(name)
	}
	return headers
}

var identifyingHeaders = unionOf([]string{"Content-Type"}, func(s Sender) []string { return s.identifying })

// unionOf returns the headers and those of all senders, without duplicates.
func unionOf(headers []string, of func(Sender) []string) []string {
	for _, s := range senders {
		for _, name := range of(s) {
			if !slices.Contains(headers, name) {
				headers = append(headers, name)
			}
		}
	}
	return headers
}

// maxSourceBytes is slightly more than the length of the longest sender type.
const maxSourceBytes = 20

// LooksLikeSource reports whether a text has the form of a sender type. Do not display other text of an unauthenticated
// caller: it may be a secret, or a type followed by a secret after a second "?" or an encoded "&".
func LooksLikeSource(text string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-'
	}
	return text != "" && len(text) <= maxSourceBytes && !strings.ContainsFunc(text, other)
}
