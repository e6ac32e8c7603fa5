// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"reflect"

	"postern.dev/postern/apis/postern"
)

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
	if out.Source == postern.SourceGeneric && isGitHostEvent(in) {
		return Decoded{Source: out.Source}, refuse(ErrorSourceConflict,
			"the signed body is an event of a git host, not a request for a ref: send the host's own headers with it")
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

// isGitHostEvent reports whether a body without an event's shape is an event of GitHub or a compatible host. All their
// events name the sender, and some name a ref that must not be deployed, such as the ref of a workflow run.
func isGitHostEvent(in Input) bool {
	m, err := readMessage(Input{Body: in.Body})
	return err == nil && (m.has("sender", "login") || m.has("sender", "username"))
}
