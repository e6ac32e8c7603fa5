// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
	stokerv1alpha1 "postern.dev/postern/apis/stoker/v1alpha1"
)

// withEvent returns a request whose event is changed. The event of r, which is shared, stays as it is.
func withEvent(r Request, change func(*postern.DeliveryEvent)) Request {
	event := postern.DeliveryEvent{}
	if r.DeliveryEvent != nil {
		event = *r.DeliveryEvent
	}
	change(&event)
	r.DeliveryEvent = &event
	return r
}

// withRepository returns a request for a ref of a repository.
func withRepository(repository string, r Request) Request {
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Repository = repository })
}

// withImage returns a request for an image.
func withImage(t testing.TB, reference string, r Request) Request {
	return withEvent(r, func(e *postern.DeliveryEvent) { e.Image = image(t, reference) })
}

func mustDecide(t *testing.T, obj runtime.Object, r Request) Decision {
	t.Helper()
	decision, err := decide(obj, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return decision
}

// writeOne writes one request.
func writeOne(ctx context.Context, w *Writer, key postern.TargetKey, r Request, dryRun bool) (Outcome, error) {
	result := w.Write(ctx, key, []Request{r}, dryRun)[0]
	return result.Outcome, result.Err
}

// apply applies a patch with the library that the kube-apiserver uses.
func apply(document string, patch []Operation) (string, error) {
	if len(patch) == 0 {
		return document, nil
	}
	encoded, err := json.Marshal(patch)
	if err != nil {
		return "", err
	}
	decoded, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		return "", err
	}
	// The kube-apiserver encodes objects as json.Marshal does.
	var object any
	if err := json.Unmarshal([]byte(document), &object); err != nil {
		return "", err
	}
	current, err := json.Marshal(object)
	if err != nil {
		return "", err
	}
	after, err := decoded.Apply(current)
	return string(after), err
}

func mustApply(t *testing.T, document string, patch []Operation) string {
	t.Helper()
	after, err := apply(document, patch)
	if err != nil {
		t.Fatalf("could not apply %v to %s: %v", patch, document, err)
	}
	return after
}

func parse(t testing.TB, kind postern.TargetKind, document string) runtime.Object {
	t.Helper()
	_, obj, err := apiOf(kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(document), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func kindOf(t *testing.T, obj runtime.Object) postern.TargetKind {
	t.Helper()
	switch obj.(type) {
	case *stokerv1alpha1.GatewaySync:
		return postern.TargetGatewaySync
	case *argov1alpha1.Application:
		return postern.TargetApplication
	}
	t.Fatalf("no kind for %T", obj)
	return ""
}

// removeKey removes a key at any depth.
func removeKey(value any, key string) {
	switch value := value.(type) {
	case map[string]any:
		delete(value, key)
		for _, member := range value {
			removeKey(member, key)
		}
	case []any:
		for _, item := range value {
			removeKey(item, key)
		}
	}
}

// expectPatch compares a patch with JSON, regardless of white space and the order of members.
func expectPatch(t *testing.T, want string, got []Operation) {
	t.Helper()
	var wanted []Operation
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(t, wanted), lines(t, got)); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
}

// lines encodes a patch, one operation per line.
func lines(t *testing.T, patch []Operation) string {
	t.Helper()
	var out strings.Builder
	for _, operation := range patch {
		encoded, err := json.Marshal(operation)
		if err != nil {
			t.Fatal(err)
		}
		var sorted any
		if err := json.Unmarshal(encoded, &sorted); err != nil {
			t.Fatal(err)
		}
		if encoded, err = json.Marshal(sorted); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n", encoded)
	}
	return out.String()
}

// advance advances the clock of a synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // not the wall clock
}
