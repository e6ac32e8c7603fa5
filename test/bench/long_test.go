// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestStoredRecord_CopyKeepsLengths(t *testing.T) {
	r := &storedRecord{
		key: "/registry/postern.dev/webhookdeliveries/bench/generic-7kx2p", name: "generic-7kx2p",
		uid:   "3f2a1b0c-1111-2222-3333-0123456789ab",
		value: []byte("\x0d\x00generic-7kx2p\x24\x003f2a1b0c-1111-2222-3333-0123456789ab"),
	}
	key, value := r.numbered(99_999)
	if want := "/registry/postern.dev/webhookdeliveries/bench/generic-0255r"; key != want {
		t.Errorf("got key %s, want %s", key, want)
	}
	if want := "\x0d\x00generic-0255r\x24\x003f2a1b0c-1111-2222-3333-00000001869f"; value != want {
		t.Errorf("got value %q, want %q", value, want)
	}
}
