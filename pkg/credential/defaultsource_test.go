// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultsReloader_ChangedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\ntwo\n")
	secrets := &Secrets{}
	source := DefaultSource{Values: map[string][]byte{"token": []byte("value"), "webhook.quay-secret": []byte("quay")},
		Files: map[string]string{"token": path}}
	defaults, err := NewDefaultsReloader(source, secrets)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want map[string]bool) {
		t.Helper()
		for token, valid := range want {
			a := Attempt{Namespace: "shop", Source: "generic", Header: map[string][]string{"X-Webhook-Token": {token}}}
			v := NewVerifier(Config{RequireSecret: true}, secrets)
			if _, err := v.Verify(t.Context(), a); (err == nil) != valid {
				t.Errorf("%s, %s: got error %v, want accepted: %t", when, token, err, valid)
			}
		}
	}
	check("at the start", map[string]bool{"one": true, "two": true, "value": false})
	write("two\nthree")
	defaults.refresh()
	check("after a change", map[string]bool{"one": false, "two": true, "three": true})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	defaults.refresh()
	check("without the file", map[string]bool{"two": true, "three": true, "value": false})
	write("")
	defaults.refresh()
	check("emptied", map[string]bool{"two": false, "three": false, "value": false, "": false})
	write("four")
	defaults.refresh()
	check("written again", map[string]bool{"four": true})
}

func TestDefaultsReloader_MissingFileIsError(t *testing.T) {
	_, err := NewDefaultsReloader(DefaultSource{Files: map[string]string{"hmac": "/no/such/file"}}, &Secrets{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(),
		"could not read the default secret hmac: open /no/such/file: ") {
		t.Errorf("got error %v, want one for the missing file", err)
	}
}

func TestDefaultsReloader_NoFiles(t *testing.T) {
	secrets := &Secrets{}
	defaults,
		err := NewDefaultsReloader(DefaultSource{Values: map[string][]byte{"webhook.quay-secret": []byte("quay")}},
		secrets)
	if err != nil {
		t.Fatal(err)
	}
	if err := defaults.Start(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := NewVerifier(Config{RequireSecret: true},
		secrets).Verify(t.Context(), Attempt{Namespace: "shop", Source: "quay.io", QuerySecret: "quay"}); err != nil {
		t.Error(err)
	}
}
