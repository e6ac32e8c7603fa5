// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
)

func TestGenerate_IsAcceptedAndNeverTheSame(t *testing.T) {
	for _, signingToken := range []bool{false, true} {
		first, second := generate(signingToken), generate(signingToken)
		if first == second || len(first) < 2*secretBytes-20 {
			t.Errorf("got %d characters, and the same twice: %t", len(first), first == second)
		}
		if err := checkValue(first, signingToken); err != nil {
			t.Errorf("a generated secret is refused: %v", err)
		}
	}
}

// What refuses a secret may quote it, also as it is in the manifest.
func TestRedacted_HasNoSecret(t *testing.T) {
	const secret, other = "known-value-of-the-secret", "another-value"
	both := base64.StdEncoding.EncodeToString([]byte(secret + "\n" + other))
	for _, text := range []string{
		secret, "denied: " + base64.StdEncoding.EncodeToString([]byte(secret)), "data: " + both,
		secret + " and " + other,
	} {
		got := redacted(errors.New(text), []string{secret, other, secret + "\n" + other}).Error()
		if strings.Contains(got, secret) || strings.Contains(got, other) || strings.Contains(got, both) ||
			!strings.Contains(got, "***") {
			t.Errorf("%q became %q", text, got)
		}
	}
	plain := errors.New("denied")
	if got := redacted(plain, []string{secret}); !errors.Is(got, plain) {
		t.Errorf("got %v, want the error itself", got)
	}
	if redacted(nil, []string{secret}) != nil {
		t.Error("no error became one")
	}
}

// An admission webhook may quote the Secret as it is before a change or as it would be after it, and a secret with
// escapes.
func TestChange_ErrorsHaveNoSecret(t *testing.T) {
	const old, next = `an-"old"-secret-<x>`, "the-new-secret-of-the-sender"
	before, after := old+"\n", old+"\n"+next
	client := kubefake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: credential.SecretName},
		Data:       map[string][]byte{"github": []byte(before)},
	})
	client.PrependReactor("patch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		encode := base64.StdEncoding.EncodeToString
		inJSON, err := json.Marshal(old)
		return true, nil, errors.Join(err, fmt.Errorf("denied: %s, %s, %s, %q", encode([]byte(before)),
			encode([]byte(after)), inJSON, old))
	})
	err := change(t.Context(), &cli.Cluster{Namespace: "demo", Kubernetes: client}, "github",
		func(lines []string) ([]string, error) { return append(lines, next), nil })
	if err == nil || err.Error() != `denied: ***, ***, "***", "***"` {
		t.Errorf("got %v", err)
	}
}

// The end of a rotation removes a secret from the lines that it gets.
func TestChange_ErrorsHaveNoRemovedSecret(t *testing.T) {
	const old, next = "the-old-secret", "the-new-secret"
	client := kubefake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: credential.SecretName},
		Data:       map[string][]byte{"github": []byte(old + "\n" + next)},
	})
	client.PrependReactor("patch", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("denied: " + old)
	})
	err := change(t.Context(), &cli.Cluster{Namespace: "demo", Kubernetes: client}, "github",
		func(lines []string) ([]string, error) { return slices.Delete(lines, 0, 1), nil })
	if err == nil || err.Error() != "denied: ***" {
		t.Errorf("got %v", err)
	}
}

func TestPrivateFile_KeepsWhatWasThereUntilTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("valid"), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	file, err := prepareFile(path, "new")
	if err != nil {
		t.Fatal(err)
	}
	if err := file.discard(); err != nil || read() != "valid" {
		t.Errorf("a discarded file left %q (error %v)", read(), err)
	}
	if file, err = prepareFile(path, "new"); err != nil {
		t.Fatal(err)
	}
	if read() != "valid" {
		t.Errorf("a prepared file has changed it to %q", read())
	}
	if err := file.keep(); err != nil || read() != "new" {
		t.Errorf("a kept file left %q (error %v)", read(), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v (error %v)", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, want one file (error %v)", entries, err)
	}
	if _, err := prepareFile(filepath.Join(path, "nowhere"), "new"); err == nil {
		t.Error("a file below a file is no error")
	}
	if _, err := prepareFile(filepath.Dir(path), "new"); err == nil {
		t.Error("a directory is no error")
	}
}
