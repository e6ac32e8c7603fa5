// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// accepts reports whether token is accepted in the namespace.
func accepts(t *testing.T, s *Secrets, namespace, token string) bool {
	t.Helper()
	v := NewVerifier(Config{RequireSecret: true}, s)
	method, _ := verify(t, v, Attempt{Namespace: namespace, Header: header("X-Webhook-Token", token)})
	return method == MethodToken
}

func TestSecrets_RotationHasNoGap(t *testing.T) {
	s := secretsWith(map[string]string{"token": "old"})
	for _, step := range []struct {
		value    string
		old, new bool
	}{
		{value: "old\n", old: true},
		{value: "old\nnew\n", old: true, new: true},
		{value: "new\n", new: true},
	} {
		s.Set(namespace, asBytes(map[string]string{"token": step.value}))
		if got := accepts(t, s, namespace, "old"); got != step.old {
			t.Errorf("value %q: old secret accepted: got %v, want %v", step.value, got, step.old)
		}
		if got := accepts(t, s, namespace, "new"); got != step.new {
			t.Errorf("value %q: new secret accepted: got %v, want %v", step.value, got, step.new)
		}
	}
}

func TestSecrets_SetAndDeleteAffectOneNamespace(t *testing.T) {
	s := &Secrets{}
	s.Delete("never-set")
	s.Set("a", asBytes(map[string]string{"token": "of-a", "hmac": "of-a"}))
	s.Set("b", asBytes(map[string]string{"token": "of-b"}))
	if accepts(t, s, "a", "of-b") || accepts(t, s, "b", "of-a") || accepts(t, s, "c", "of-a") ||
		accepts(t, s, "", "of-a") {
		t.Error("a secret is accepted in another namespace")
	}
	s.Set("a", asBytes(map[string]string{"hmac": "of-a"}))
	if accepts(t, s, "a", "of-a") {
		t.Error("a removed key is accepted")
	}
	s.Delete("b")
	if accepts(t, s, "b", "of-b") {
		t.Error("a deleted Secret is accepted")
	}
}

func TestSecrets_CopiesItsInput(t *testing.T) {
	data := asBytes(map[string]string{"token": "before"})
	s := &Secrets{}
	s.Set(namespace, data)
	copy(data["token"], "after!")
	if !accepts(t, s, namespace, "before") || accepts(t, s, namespace, "after!") {
		t.Error("a change of the caller's bytes changed the secret")
	}
}

func TestSecrets_ConcurrentVerify(t *testing.T) {
	s := secretsWith(map[string]string{"token": "kept"})
	v := NewVerifier(Config{}, s) // a value that is being replaced must not count as unconfigured
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			s.Set(namespace, asBytes(map[string]string{"token": "kept\nnew"}))
			s.Set("other", asBytes(map[string]string{"token": "kept"}))
			s.Set(namespace, asBytes(map[string]string{"token": "old\nkept", "hmac": "h"}))
			s.Delete("other")
		}
	}()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for changing := true; changing; {
				select {
				case <-done:
					changing = false
				default:
				}
				if proof, err := v.Verify(t.Context(), Attempt{Namespace: namespace,
					Header: header("X-Gitlab-Token", "kept")}); proof.Method != MethodToken {
					t.Errorf("right token: got method %q, error %v", proof.Method, err)
				}
				if proof, err := v.Verify(t.Context(), Attempt{Namespace: namespace,
					Header: header("X-Gitlab-Token", "wrong")}); err == nil {
					t.Errorf("wrong token: accepted by %q", proof.Method)
				}
			}
		})
	}
	readers.Wait()
}

func TestSecrets_EventHandler(t *testing.T) {
	object := func(namespace, name, token string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Data:       asBytes(map[string]string{"token": token}),
		}
	}
	s := &Secrets{}
	h := s.EventHandler()
	expect := func(step, namespace, token string, want bool) {
		t.Helper()
		if got := accepts(t, s, namespace, token); got != want {
			t.Errorf("%s: token %q in %q accepted: got %v, want %v", step, token, namespace, got, want)
		}
	}

	h.OnAdd(object("a", "other", "t1"), true)
	expect("another name is added", "a", "t1", false)
	h.OnAdd(object("a", SecretName, "t1"), true)
	h.OnAdd(object("b", SecretName, "t1"), false)
	expect("added", "a", "t1", true)
	h.OnUpdate(object("a", SecretName, "t1"), object("a", SecretName, "t2"))
	expect("updated", "a", "t1", false)
	expect("updated", "a", "t2", true)
	h.OnUpdate(object("a", "other", "t2"), object("a", "other", "t3"))
	expect("another name is updated", "a", "t2", true)
	h.OnDelete(object("a", "other", "t2"))
	h.OnDelete(cache.DeletedFinalStateUnknown{Key: "a/other", Obj: object("a", "other", "t2")})
	h.OnDelete("not an object")
	h.OnAdd("not an object", false)
	expect("another name is deleted", "a", "t2", true)
	h.OnDelete(object("a", SecretName, "t2"))
	expect("deleted", "a", "t2", false)
	expect("deleted in another namespace", "b", "t1", true)
	h.OnDelete(cache.DeletedFinalStateUnknown{Key: "b/" + SecretName, Obj: nil})
	expect("deleted, by a tombstone", "b", "t1", false)
}
