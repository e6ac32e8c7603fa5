// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// object is a JSON object of a body that scan has accepted.
type object struct {
	text    []byte
	members []member // in the order of the text
}

// member is a name without its quotes, and a value, as they are in the text.
type member struct{ name, value span }

// span is a part of a text: positions and not a slice, which would take three times as much for each of thousands. No body
// is as large as 4 GiB.
type span struct{ start, end uint32 }

func (s span) in(text []byte) []byte { return text[s.start:s.end] }

// trimmed returns the part of the text between two positions without the white space around it.
func trimmed(text []byte, start, end int) span {
	for start < end && isJSONSpace(text[start]) {
		start++
	}
	for end > start && isJSONSpace(text[end-1]) {
		end--
	}
	return span{uint32(start), uint32(end)}
}

func isJSONSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// find returns the value at the path, as it is in the text, or nil. It allocates nothing.
func (o object) find(path ...string) []byte {
	for _, m := range o.members {
		if !nameIs(m.name.in(o.text), path[0]) {
			continue
		}
		value := m.value.in(o.text)
		for _, name := range path[1:] {
			value = memberOf(value, name)
		}
		return value
	}
	return nil
}

// memberOf returns the value of that name in the text of a valid object, or nil, also if the text is no object.
func memberOf(text []byte, name string) []byte {
	if len(text) == 0 || text[0] != '{' {
		return nil
	}
	for i := skipSpace(text, 1); text[i] != '}'; {
		nameEnd := skipValue(text, i)
		start := skipSpace(text, skipSpace(text, nameEnd)+1) // behind the colon
		end := skipValue(text, start)
		if nameIs(text[i+1:nameEnd-1], name) {
			return text[start:end]
		}
		if i = skipSpace(text, end); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return nil
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && isJSONSpace(text[i]) {
		i++
	}
	return i
}

// skipValue returns where the value ends that begins at i in valid JSON.
func skipValue(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 { // the end of what holds a number or a word
				return i
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the position behind the string literal that begins at i in valid JSON.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++ // what is escaped ends nothing
		}
	}
	return i + 1
}
