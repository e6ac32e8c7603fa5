// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// rotationDeadline is the time limit for a removed secret to become invalid.
const rotationDeadline = 2 * time.Second

// setKey changes one key of the namespace's webhook secrets, as kubectl patch does, and returns when it is stored.
func (w *world) setKey(key, value string) {
	w.T.Helper()
	mustBeFindable(w.T, map[string]string{key: value})
	patch := mustJSON(w.T, map[string]any{"stringData": map[string]string{key: value}})
	if _, err := w.Kube.CoreV1().Secrets(w.Namespace).Patch(w.T.Context(), "postern-webhook-secrets",
		types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		w.T.Fatal(err)
	}
}

func TestSecrets_RotationHasNoGap(t *testing.T) {
	for key, proofBy := range map[string]func(secret string) proof{
		"hmac":                  bySignature,
		"token":                 func(secret string) proof { return byToken("X-Gitlab-Token", secret) },
		"gatewaysyncs.web.hmac": bySignature,
	} {
		t.Run(key, func(t *testing.T) {
			older, newer := newSecret(), newSecret()
			w, anonymous := guarded(t, map[string]string{key: older}, proofBy(older))
			pid := w.postern.PID()

			w.setKey(key, older+"\n"+newer+"\n")
			w.untilAccepted(anonymous, gatewaySyncPath("web"), proofBy(newer))
			anonymous.mustBeAccepted(t, "web", proofBy(older))

			tries, end := w.watchFor(anonymous, proofBy(newer))
			w.setKey(key, newer)
			removed := time.Now()
			w.within(rotationDeadline, func(ctx context.Context) (bool, error) {
				got, err := anonymous.post(ctx, gatewaySyncPath("web"), []byte(useless), proofBy(older)(useless))
				return got.code == http.StatusUnauthorized, err
			})
			t.Logf("the old secret ended after %s", time.Since(removed).Round(time.Millisecond))
			before := tries.Load()
			w.eventually(func() error {
				if tries.Load() == before {
					return errors.New("the new secret has not been tried since")
				}
				return nil
			})
			end()
			anonymous.mustBeRejected(t, "web", proofBy(older))
			anonymous.mustBeAccepted(t, "web", proofBy(newer))
			if w.postern.PID() != pid || !w.postern.Running() {
				t.Error("Postern was restarted")
			}
		})
	}
}

// mustBeAccepted fails the test unless an unauthenticated sender with this proof is accepted. Nothing is delivered.
func (s sender) mustBeAccepted(t *testing.T, name string, p proof) {
	t.Helper()
	s.mustPost(t, gatewaySyncPath(name), useless, p(useless), http.StatusBadRequest)
}

// watchFor sends a proof continuously and counts the tries. end stops that. The test fails if a try was rejected.
func (w *world) watchFor(s sender, p proof) (tries *atomic.Int64, end func()) {
	ctx, cancel := context.WithCancel(w.T.Context())
	tries = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			got, err := s.post(ctx, gatewaySyncPath("web"), []byte(useless), p(useless))
			if ctx.Err() != nil {
				return
			}
			if err != nil || got.code != http.StatusBadRequest {
				w.T.Errorf("try %d of the unchanged secret: got %d, %v, want it to be accepted", tries.Load(), got.code,
					err)
				return
			}
			tries.Add(1)
		}
	}()
	return tries, func() {
		cancel()
		<-done
	}
}

// within fails the test unless the condition becomes true before the deadline.
func (w *world) within(deadline time.Duration, condition wait.ConditionWithContextFunc) {
	w.T.Helper()
	if err := wait.PollUntilContextTimeout(w.T.Context(), 10*time.Millisecond, deadline, true, condition); err != nil {
		w.T.Fatalf("not within %s: %v", deadline, err)
	}
}
