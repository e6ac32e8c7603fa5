// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"slices"
	"strings"
)

// condition is a condition on a message by which a sender is detected. It performs no I/O and does not allocate in
// proportion to the body.
type condition func(message) bool

// matches reports whether the message meets the condition. A nil condition matches no message.
func (c condition) matches(m message) bool { return c != nil && c(m) }

// SourceFromHeader returns the sender type that the event headers name, or "". Decode uses it too, so a secret selected
// by it belongs to the sender whose rules are then applied.
func SourceFromHeader(h http.Header) string {
	for _, s := range senders {
		if s.namedBy.matches(message{header: h}) {
			return s.Name
		}
	}
	return ""
}

// senderByShape returns the first sender whose shape the body has.
func senderByShape(m message) (Sender, error) {
	for _, s := range senders {
		if s.shape(m) {
			return s, nil
		}
	}
	return Sender{}, refuse(ErrorUnrecognized,
		"the body matches no known sender (%s): send it unchanged, with the sender's event headers; at the endpoint "+
			"by source, or with spec.source in an object, the error is more precise; "+
			`to ask for a ref yourself, send {"ref": "main"} without fields of other senders`,
		strings.Join(Sources(), ", "))
}

// sameFamily reports whether two different types of sender belong to one family.
func sameFamily(a, b string) bool {
	first, _ := Lookup(a)
	second, _ := Lookup(b)
	return first.family != "" && first.family == second.family
}

// GitSource returns the type of sender for git refs that belongs to the family of a type for images, if there is one.
func GitSource(source string) (git string, found bool) {
	for _, s := range senders {
		if s.Requests == RequestsGitRefs && s.Name != source && sameFamily(s.Name, source) {
			return s.Name, true
		}
	}
	return "", false
}

// eventShape is the form of the body of an event.
type eventShape struct {
	name  string
	shape condition
}

// eventByShape returns the name of the first event whose form the body has, or "".
func eventByShape(m message, events []eventShape) string {
	for _, e := range events {
		if e.shape(m) {
			return e.name
		}
	}
	return ""
}

// anyEvent matches if the body has the form of one of the events.
func anyEvent(events []eventShape) condition {
	return func(m message) bool { return eventByShape(m, events) != "" }
}

// anyOf matches if one of the conditions does.
func anyOf(conditions ...condition) condition {
	return func(m message) bool {
		return slices.ContainsFunc(conditions, func(c condition) bool { return c(m) })
	}
}

// allOf matches if all conditions do.
func allOf(conditions ...condition) condition {
	return func(m message) bool {
		return !slices.ContainsFunc(conditions, func(c condition) bool { return !c(m) })
	}
}

// not matches if the condition does not.
func not(c condition) condition {
	return func(m message) bool { return !c(m) }
}

// hasHeader matches if the header has one of the values, or, without values, any value that is not empty.
func hasHeader(name string, values ...string) condition {
	return func(m message) bool {
		value := m.header.Get(name)
		return value != "" && (len(values) == 0 || slices.Contains(values, value))
	}
}

// hasAnyHeader matches if one of the headers is not empty.
func hasAnyHeader(names ...string) condition {
	return func(m message) bool {
		return slices.ContainsFunc(names, func(name string) bool { return m.header.Get(name) != "" })
	}
}

// hasMediaTypePrefix matches if the media type of the body has the prefix. A prefix without the version of a format
// also matches its next version.
func hasMediaTypePrefix(prefix string) condition {
	return func(m message) bool { return strings.HasPrefix(mediaType(m.header), prefix) }
}

// hasAll matches if the body has all of the top-level members.
func hasAll(names ...string) condition {
	return func(m message) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return !m.has(name) })
	}
}

// hasAny matches if the body has one of the top-level members.
func hasAny(names ...string) condition {
	return func(m message) bool {
		return slices.ContainsFunc(names, func(name string) bool { return m.has(name) })
	}
}

// hasObject matches if one of the top-level members is an object.
func hasObject(names ...string) condition {
	return func(m message) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			value := m.object.find(name)
			return len(value) > 0 && value[0] == '{'
		})
	}
}

// has matches if the body has a value at the path.
func has(path ...string) condition {
	return func(m message) bool { return m.has(path...) }
}

// textIs matches if the body has the text at the path, which must not be empty.
func textIs(text string, path ...string) condition {
	return func(m message) bool { return m.text(path...) == text }
}

// hasText matches if the body has a text at the path that is not empty.
func hasText(path ...string) condition {
	return func(m message) bool { return m.text(path...) != "" }
}

// isOnly matches if the body has one member, with the JSON value.
func isOnly(name, value string) condition {
	return func(m message) bool {
		return len(m.object.members) == 1 && string(m.object.find(name)) == value
	}
}

// firstItemHas matches if the first item of a list has all of the members. It is for lists whose name is too common.
func firstItemHas(list string, names ...string) condition {
	return func(m message) bool {
		items := m.object.find(list)
		if countElements(items) == 0 {
			return false
		}
		start := skipSpace(items, 1)
		first := items[start:skipValue(items, start)]
		return !slices.ContainsFunc(names, func(name string) bool { return memberValue(first, name) == nil })
	}
}

// isBatch matches batches of CloudEvents.
func isBatch(m message) bool { return m.batch }

// binaryCloudEvent matches CloudEvents in binary mode whose type has the prefix.
func binaryCloudEvent(typePrefix string) condition {
	return func(m message) bool {
		eventType := m.header.Get("Ce-Type")
		return eventType != "" && strings.HasPrefix(eventType, typePrefix)
	}
}

// structuredCloudEvent matches CloudEvents in structured mode whose type has the prefix.
func structuredCloudEvent(typePrefix string) condition {
	return func(m message) bool {
		return m.has("specversion") && m.has("type") && strings.HasPrefix(m.text("type"), typePrefix)
	}
}
