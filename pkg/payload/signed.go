// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "reflect"

// DecodeSigned is Decode where nothing but a signature of the body proves the sender. The headers and the URL could then
// be anybody's: who has once seen a signed body could send it as another event, or as that of another sender, whose rules
// read it differently or order it differently. So what is asked for must follow from the body alone. Headers may still say
// why nothing is asked for, and tell repeats. Its error is always an *Error.
func DecodeSigned(in Input) (Decoded, error) {
	in.Signed = true
	out, err := Decode(in)
	if err != nil || len(out.Events) == 0 {
		return out, err
	}
	bodyOnly, err := Decode(Input{Body: in.Body, RegistryURLs: in.RegistryURLs, Signed: true})
	if err != nil || !reflect.DeepEqual(withoutDeliveryIDs(out), withoutDeliveryIDs(bodyOnly)) {
		return Decoded{Source: out.Source}, refuse(ErrorSourceConflict,
			"the headers or the path say of the body what it does not say itself, and the signature covers the body alone: "+
				"send what %s sends, as it is", out.Source)
	}
	if out.Source == SourceGeneric && isGitHostEvent(in) {
		return Decoded{Source: out.Source}, refuse(ErrorSourceConflict,
			"the signed body is an event of a git host, not a request for a ref: send the host's own headers with it")
	}
	return out, nil
}

// withoutDeliveryIDs returns the events without the ids of deliveries, which only tell repeats.
func withoutDeliveryIDs(d Decoded) []Event {
	events := make([]Event, len(d.Events))
	for i, e := range d.Events {
		e.DeliveryID = ""
		events[i] = e
	}
	return events
}

// isGitHostEvent reports whether a body that has no event's shape was made by GitHub or one of its kind all the same. Each of
// their events names who caused it, and some name a ref that nobody asks to deploy, such as that of a workflow run.
func isGitHostEvent(in Input) bool {
	m, err := readMessage(Input{Body: in.Body})
	return err == nil && (m.has("sender", "login") || m.has("sender", "username"))
}
