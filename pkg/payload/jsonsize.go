// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

const (
	// maxDepth bounds how deeply objects and arrays nest. Real payloads stay below 20.
	maxDepth = 1000

	// A body may hold so many names and values, and one more for each so many of its bytes. In real payloads, each takes 20
	// bytes and more. What takes less is made to cost memory, or is data that nobody sends with a webhook.
	baseTokens, bytesPerToken = 32 << 10, 8
)

// jsonSize is how much a JSON text holds, as far as it decides what reading the text costs.
type jsonSize struct {
	tokens    int // names and values, at all levels
	members   int // of the outermost object
	openNames int // the most names that the objects have which are open at one place
}

// measure counts what a valid JSON text holds, before anything is made of it, and refuses what is more than is read. It
// allocates nothing.
func measure(text []byte) (jsonSize, error) {
	var (
		size  jsonSize
		limit = baseTokens + len(text)/bytesPerToken
		names [maxDepth]int32 // of each open object
		depth int             // how many are open
		open  int             // the sum of names
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' || c == '[':
			if depth == maxDepth {
				return size, refuse(ErrorMalformedBody, "the body nests more than %d levels deep", maxDepth)
			}
			names[depth] = 0
			depth++
			size.tokens++
		case c == '}' || c == ']':
			depth--
			open -= int(names[depth])
		case c == ':':
			names[depth-1]++
			open++
			size.openNames = max(size.openNames, open)
			if depth == 1 {
				size.members++
			}
		case c == '"':
			i = stringEnd(text, i) - 1
			size.tokens++
		case c == ',' || isJSONSpace(c):
		default: // a number or a word
			i = skipValue(text, i) - 1
			size.tokens++
		}
		if size.tokens > limit {
			return size, refuse(ErrorTooComplex, "the body holds more than %d names and values, the most that are read of %d bytes: "+
				"send less in one body", limit, len(text))
		}
	}
	return size, nil
}

// countElements counts the elements of the array in valid JSON; what is no array has none. It allocates nothing.
func countElements(text []byte) (n int) {
	if len(text) == 0 || text[0] != '[' {
		return 0
	}
	for i := skipSpace(text, 1); text[i] != ']'; n++ {
		if i = skipSpace(text, skipValue(text, i)); text[i] == ',' {
			i = skipSpace(text, i+1)
		}
	}
	return n
}
