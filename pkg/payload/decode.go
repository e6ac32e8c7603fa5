// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"net/http"
	"reflect"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

// Input is one delivery.
type Input struct {
	// Source is the sender type that the caller claims; if empty, it is detected. A claim selects among the senders
	// that match the delivery. It never grants more than detection.
	Source string
	// Header contains the sender's headers under canonical keys, as stored by http.Header.Set. It may be nil.
	Header http.Header
	// Body is the sender's payload, unchanged. Decode does not modify it.
	Body []byte
	// RegistryURL is the address prefix from which clusters pull the registry's images. The operator sets it in the
	// query of the webhook's URL (registry_url): "registry.example.com", "https://example.com/docker-local". It goes
	// before what a registry reports.
	RegistryURL string
	// RegistryURLs returns the addresses that the operator configured for the registry of a sender type, one per line:
	// ADDRESS for all repositories, or NAME=ADDRESS for one repository that the payload names. It returns "" if there
	// are none. It may be nil.
	RegistryURLs func(source string) string
	// Signed is set if only a signature of the body authenticates the sender. Use DecodeSigned then.
	Signed bool
}

// Decode returns the events that a delivery requests. Its error is always an *Error and means that the delivery can
// never succeed.
//
// The sender is determined by the headers; without such headers, by the claim; without a claim, by the first sender
// whose shape the body has. A claim that contradicts the headers or the body is an error, because a decoder misreads
// the events of other senders: the deletion of a branch, read as a generic payload, would deploy the branch.
func Decode(in Input) (Decoded, error) {
	named := SourceFromHeader(in.Header)
	if err := checkClaim(in.Source, named); err != nil {
		return Decoded{Source: named}, err
	}
	if err := checkHeaders(in.Header); err != nil {
		return Decoded{Source: cmp.Or(named, in.Source)}, err
	}
	m, err := readMessage(in)
	if err != nil {
		return Decoded{Source: cmp.Or(named, in.Source)}, err
	}
	s, err := chooseSender(named, in.Source, m)
	if err != nil {
		return Decoded{Source: in.Source}, err
	}
	if m.batch && s.Name != cloudEvents.Name {
		return Decoded{Source: s.Name}, refuse(ErrorMalformedBody,
			"the Content-Type is for a batch of CloudEvents, but %s sends no batches", s.Name)
	}
	m.source = s.Name
	out := Decoded{Source: s.Name, Events: []postern.DeliveryEvent{}}
	if err := s.decode(m, &out); err != nil {
		return Decoded{Source: s.Name}, err
	}
	if len(out.Events) > postern.MaxEvents {
		return Decoded{Source: s.Name}, refuse(ErrorTooManyEvents,
			"the body asks for more than %d refs or images; send fewer at once", postern.MaxEvents)
	}
	for _, path := range s.defaultBranch {
		if branch := m.text(path...); branch != "" {
			markDefaultBranch(out.Events, branch)
			break
		}
	}
	for i := range out.Events {
		if err := normalizeEvent(&out.Events[i], out); err != nil {
			return Decoded{Source: s.Name}, err
		}
	}
	return out, nil
}

// checkClaim refuses a claimed source that does not exist or contradicts the headers.
func checkClaim(claimed, named string) error {
	if claimed == "" {
		return nil
	}
	if _, known := Lookup(claimed); !known {
		return refuse(ErrorUnknownSource, "unknown source %s: use one of %s, or omit it to detect the sender",
			quote(claimed), strings.Join(Sources(), ", "))
	}
	if named != "" && named != claimed && !sameFamily(named, claimed) {
		return refuse(ErrorSourceConflict,
			"the source was given as %s, but the headers are from %s: deliver it as %[2]s",
			claimed, named)
	}
	return nil
}

// checkHeaders refuses repeated headers that identify the body: intermediaries may have used different values.
func checkHeaders(h http.Header) error {
	for _, name := range identifyingHeaders {
		if n := len(h.Values(name)); n > 1 {
			return refuse(ErrorInvalidField, "the header %s was given %d times: send it once", name, n)
		}
	}
	return nil
}

// chooseSender returns the sender that decodes the message. Both names are known or empty, and do not conflict.
func chooseSender(named, claimed string, m message) (Sender, error) {
	if named == "" && claimed == "" {
		return senderByShape(m)
	}
	s, _ := Lookup(cmp.Or(claimed, named))
	if named == "" && !s.shape(m) && !s.accepts.matches(m) {
		return Sender{}, refuse(ErrorSourceConflict,
			"the source was given as %s, but this body is not what %[1]s sends: expected %s", s.Name, s.Expects)
	}
	return s, nil
}

// normalizeEvent completes and validates an event. It runs for all senders, so that no sender can omit it.
func normalizeEvent(e *postern.DeliveryEvent, d Decoded) (err error) {
	e.Source = d.Source
	e.DeliveryID = cmp.Or(e.DeliveryID, d.DeliveryID)
	if e.Image != nil {
		return normalizeImageEvent(e)
	}
	if e.RefType == "" && isCommitID(e.Ref) {
		e.RefType, e.Revision = postern.RefTypeCommit, e.Ref
	}
	if err := naming.ValidateRef(e.Ref, e.RefType); err != nil {
		return refuse(ErrorInvalidRef, "%v", err)
	}
	if e.Repository, err = naming.CleanRepository(e.Repository); err != nil {
		return refuse(ErrorInvalidField, "%v", err)
	}
	e.SSHURL, _ = naming.CleanRepository(e.SSHURL) // only an additional name
	return nil
}

func normalizeImageEvent(e *postern.DeliveryEvent) error {
	image, err := naming.NormalizeImage(*e.Image)
	if err != nil {
		return refuse(ErrorInvalidImage, "%v", err)
	}
	e.Image, e.Ref, e.RefType = &image, cmp.Or(image.Tag, image.Digest), postern.RefTypeImage
	if e.Ref == "" {
		return refuse(ErrorInvalidImage, "the payload names no tag of the image %s", quote(image.String()))
	}
	return nil
}

// anyDefaultBranch has the paths of all git hosts, for senders whose bodies are templates.
var anyDefaultBranch = [][]string{
	{"repository", "default_branch"}, {"project", "default_branch"}, {"resource", "repository", "defaultBranch"},
}

// markDefaultBranch marks the events of the repository's default branch, which may be a full ref; "" if the payload
// does not name it.
func markDefaultBranch(events []postern.DeliveryEvent, branch string) {
	branch = strings.TrimPrefix(branch, "refs/heads/")
	for i := range events {
		e := &events[i]
		e.DefaultBranch = branch != "" && e.RefType == postern.RefTypeBranch && e.Ref == branch
	}
}

const (
	// costPerByte covers copies of the text: its strings, twice if they have escapes, in each layer of the body, and
	// the positions of names and members.
	costPerByte = 8
	// baseCost covers list items, up to maxListItems even in small bodies, and MaxEvents events.
	baseCost = 512 << 10
)

// MaxDecodeCost returns an upper bound of the bytes that Decode allocates for any body of the given size. Not all of
// them are in use at the same time.
func MaxDecodeCost(bodyBytes int64) int64 { return baseCost + costPerByte*bodyBytes }

// DecodeSigned is like Decode, for deliveries that only a signature of the body authenticates. Headers and URL are then
// untrusted: a client that has seen a signed body could replay it as another event or as another sender's, with other
// rules or another order. Therefore the request must follow from the body alone. Headers may only identify repeats or
// explain why nothing is requested. Its error is always an *Error.
func DecodeSigned(in Input) (Decoded, error) {
	in.Signed = true
	out, err := Decode(in)
	if err != nil || len(out.Events) == 0 {
		return out, err
	}
	bodyOnly, err := Decode(Input{Body: in.Body, RegistryURLs: in.RegistryURLs, Signed: true})
	if err != nil || !reflect.DeepEqual(withoutDeliveryIDs(out), withoutDeliveryIDs(bodyOnly)) {
		return Decoded{Source: out.Source}, refuse(ErrorSourceConflict,
			"the headers or the path contradict the body, and the signature covers only the body: "+
				"send what %s sends, unchanged", out.Source)
	}
	return out, nil
}

// withoutDeliveryIDs returns the events without delivery ids, which only identify repeats.
func withoutDeliveryIDs(d Decoded) []postern.DeliveryEvent {
	events := make([]postern.DeliveryEvent, len(d.Events))
	for i, e := range d.Events {
		e.DeliveryID = ""
		events[i] = e
	}
	return events
}
