// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// errNullItem marks a list that cannot be tested: the kube-apiserver's library
// panics when it compares items that are null.
var errNullItem = errors.New("a list that the patch tests holds null")

// exactly returns a patch that tests for just what a document holds where it
// tests at all. Our types are parts of the real ones, and some can't tell null
// from empty from absent; a patch that tests for what they hold, of a list above
// all, could be refused for ever.
func exactly(patch []Operation, document []byte) ([]Operation, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber() // numbers must keep their spelling
	var read any
	if err := decoder.Decode(&read); err != nil {
		return nil, fmt.Errorf("could not decode what was read: %w", err)
	}
	exact := slices.Clone(patch)
	for i, operation := range exact {
		if operation.Op != "test" || operation.probe {
			continue
		}
		path := reachable(read, operation.Path)
		value := lookUp(read, path)
		if list, ok := value.([]any); ok && slices.Contains(list, nil) {
			return nil, fmt.Errorf("%w: %s", errNullItem, operation.Path)
		}
		exact[i].Path, exact[i].Value = path, value
	}
	return exact, nil
}

// lookUp finds what a JSON pointer (RFC 6901) points at; nil if there is nothing.
func lookUp(value any, pointer string) any {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch container := value.(type) {
		case map[string]any:
			value = container[fromPointer.Replace(token)]
		case []any:
			index, err := strconv.Atoi(token)
			if err != nil || index < 0 || index >= len(container) {
				return nil
			}
			value = container[index]
		default:
			return nil
		}
	}
	return value
}

// reachable cuts a JSON pointer to a member off after the first part of it that is
// absent: without what holds it nothing can be tested to be absent.
func reachable(value any, pointer string) string {
	for end := 1; end < len(pointer); end++ {
		next := strings.IndexByte(pointer[end:], '/')
		if next < 0 {
			break
		}
		if end += next; lookUp(value, pointer[:end]) == nil {
			return pointer[:end]
		}
	}
	return pointer
}
