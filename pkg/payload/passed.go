// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"unicode"

	"postern.dev/postern/apis/postern"
)

// maxPassedNameBytes bounds the names of workflows and pipelines in events. Longer ones can't be selected.
const maxPassedNameBytes = 128

// addPassed adds the event of a commit that passed a workflow or a pipeline. Only targets whose owner asks for such
// events take it. name, chosen by the authors of the repository, may be empty.
func (d *Decoded) addPassed(name string, e postern.DeliveryEvent) {
	e.Passed = e.Event
	if isPassedName(name) {
		e.Passed += ":" + name
	}
	d.addRef(e)
}

// isPassedName reports whether a name can be an entry of a list in an annotation.
func isPassedName(name string) bool {
	isUnfit := func(r rune) bool { return r == ',' || !unicode.IsPrint(r) }
	return name != "" && len(name) <= maxPassedNameBytes && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, isUnfit)
}
