// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"net/http"
	"strings"
)

// Decode returns what a delivery asks for. Its error is always an *Error: the delivery can never work as it is.
//
// The sender is the one that the headers name; without such a header, the claimed one; without a claim, the first whose
// shape the body has. A claim that the headers or the body contradict is an error, because one sender's decoder
// misreads another's events: the deletion of a branch, read as a generic payload, would deploy it.
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
	if m.batch && s.name != sourceCloudEvents {
		return Decoded{Source: s.name}, refuse(ErrorMalformedBody, "the Content-Type is that of a batch of CloudEvents, but %s sends none", s.name)
	}
	out := Decoded{Source: s.name}
	if err := s.decode(m, &out); err != nil {
		return Decoded{Source: s.name}, err
	}
	if len(out.Events) > MaxEvents {
		return Decoded{Source: s.name}, refuse(ErrorTooManyEvents,
			"the body asks for more than %d things; send at most so many at once", MaxEvents)
	}
	m.markDefaultBranch(out.Events)
	for i := range out.Events {
		if err := normalizeEvent(&out.Events[i], out); err != nil {
			return Decoded{Source: s.name}, err
		}
	}
	return out, nil
}

// checkClaim reports a claimed source that does not exist, or that is not the one which the headers name.
func checkClaim(claimed, named string) error {
	if claimed == "" {
		return nil
	}
	if _, known := senderByName(claimed); !known {
		return refuse(ErrorUnknownSource, "the source %s is not known: use one of %s, or none to have it detected",
			quote(claimed), strings.Join(Sources(), ", "))
	}
	bothGitHubs := isGitHubSource(named) && isGitHubSource(claimed)
	if named != "" && named != claimed && !bothGitHubs {
		return refuse(ErrorSourceConflict, "the source was given as %s, but the headers are those of %s: give that, or none",
			claimed, named)
	}
	return nil
}

// checkHeaders refuses a header that says what a body is, and says it more than once: each reader on the way may have
// taken another of its values for the true one.
func checkHeaders(h http.Header) error {
	for _, name := range identifyingHeaders {
		if n := len(h.Values(name)); n > 1 {
			return refuse(ErrorInvalidField, "the header %s was given %d times: send it once", name, n)
		}
	}
	return nil
}

// chooseSender returns the sender whose rules apply to the message. Both names are known ones or empty, and agree.
func chooseSender(named, claimed string, m message) (sender, error) {
	if named == "" && claimed == "" {
		return senderByShape(m)
	}
	s, _ := senderByName(cmp.Or(claimed, named))
	if named == "" && !s.fits(m) {
		return sender{}, refuse(ErrorSourceConflict,
			"the source was given as %s, but this body is not what %[1]s sends: expected %s", s.name, s.expects)
	}
	return s, nil
}

// normalizeEvent completes and checks an event. It is done here and not by the senders, so that none can forget it.
func normalizeEvent(e *Event, d Decoded) (err error) {
	e.Source = d.Source
	e.DeliveryID = cmp.Or(e.DeliveryID, d.DeliveryID)
	if e.Image != nil {
		return normalizeImageEvent(e)
	}
	if err := ValidateRef(e.Ref); err != nil {
		return err
	}
	e.Repository, err = cleanRepository(e.Repository)
	return err
}

func normalizeImageEvent(e *Event) error {
	image, err := NormalizeImage(*e.Image)
	if err != nil {
		return err
	}
	e.Image, e.Ref, e.RefType = &image, cmp.Or(image.Tag, image.Digest), RefTypeImage
	if e.Ref == "" {
		return refuse(ErrorInvalidImage, "the payload names no tag of the image %s", quote(image.String()))
	}
	return nil
}

// markDefaultBranch marks the events of the branch that the payload says is the repository's default one. The git hosts
// that tell it do so in one of these places, and only ever mean the repository that was pushed to.
func (m message) markDefaultBranch(events []Event) {
	branch := m.defaultBranch()
	for i := range events {
		e := &events[i]
		e.DefaultBranch = branch != "" && e.RefType == RefTypeBranch && e.Ref == branch
	}
}

func (m message) defaultBranch() string {
	for _, path := range [][]string{
		{"repository", "default_branch"},            // GitHub, Gitea, Forgejo, Gogs
		{"project", "default_branch"},               // GitLab
		{"resource", "repository", "defaultBranch"}, // Azure DevOps, in full
	} {
		if branch := m.text(path...); branch != "" {
			return strings.TrimPrefix(branch, "refs/heads/")
		}
	}
	return ""
}

const (
	// costPerByte is for what is made of the text itself: copies of its strings, two where they have escapes, in each of the
	// layers that a body may have, and where its names and members are.
	costPerByte = 8
	// baseCost is for the items of lists, of which even small bodies may have maxListItems, and for MaxEvents events.
	baseCost = 512 << 10
)

// MaxDecodeCost returns the most bytes that Decode allocates for a body of so many bytes, whoever sent it and whatever is in
// it. Not all of them are in use at one time.
func MaxDecodeCost(bodyBytes int64) int64 { return baseCost + costPerByte*bodyBytes }
