// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

const (
	// maxDepth limits the nesting of objects and arrays. Real payloads stay below 20.
	maxDepth = 1000

	// A body may have baseTokens names and values, plus one for every bytesPerToken bytes. In real payloads, each takes
	// at least 20 bytes. Denser bodies are attacks on memory, or data that no webhook sends.
	baseTokens, bytesPerToken = 32 << 10, 8
)

// jsonSize describes the size of a JSON text as far as it determines the cost of parsing.
type jsonSize struct {
	tokens    int // names and values, at all levels
	members   int // members of the outermost object
	openNames int // the maximum number of names of all objects open at the same time
}

// measure computes the size of a valid JSON text before it is decoded, and refuses texts that exceed the limits. It
// does not allocate.
func measure(text []byte) (jsonSize, error) {
	var (
		size  jsonSize
		limit = baseTokens + len(text)/bytesPerToken
		names [maxDepth]int32 // names of each open object
		depth int             // number of open objects and arrays
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
			return size, refuse(ErrorTooComplex,
				"the body has more than %d names and values, the limit for %d bytes: "+
					"send less in one body", limit, len(text))
		}
	}
	return size, nil
}

// countElements returns the number of elements of an array in valid JSON; 0 if the text is not an array. It does not
// allocate.
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
