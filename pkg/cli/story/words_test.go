// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import "testing"

func TestHoldSays(t *testing.T) {
	const released = ", until it is released: kubectl annotate gatewaysyncs.stoker.io plant -n demo postern.dev/hold-"
	for message, want := range map[string]string{
		"held (freeze)" + released:                      " The hold says: freeze.",
		"held (f (2))" + released:                       " The hold says: f (2).",
		"held" + released:                               "",
		`held (RolledBack: x set y to "v1")` + released: ` The hold says: x set y to "v1".`,
		"the delivery is held: awaits approval":         " The hold says: awaits approval.",
		"":                                              "",
	} {
		if got := holdSays(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}
