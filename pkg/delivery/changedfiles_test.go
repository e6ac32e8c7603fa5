// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/validation"
	"postern.dev/postern/pkg/target"
)

// pushOfFiles returns a delivery, by source, of a push to main that changes files.
func pushOfFiles(files ...string) (*postern.WebhookDelivery, Request) {
	const before, after = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"
	d := toAll()
	d.Spec.Source = "github"
	return d, Request{Header: http.Header{}, User: ci, Body: []byte(`{"ref":"refs/heads/main","before":"` + before +
		`","after":"` + after + `","created":false,"forced":false,"commits":[{"added":[],"modified":["` +
		strings.Join(files, `","`) + `"],"removed":[]}]}`)}
}

// Changed files are dropped rather than the delivery refused.
func TestChangedFiles_DroppedIfThereIsNoRoom(t *testing.T) {
	p := newDefaultPipeline()
	p.matches = matching("demo", "a")
	p.outcome = target.Result{Held: true, Reason: target.ReasonRequested, Changes: []target.Change{{}}}
	d, r := pushOfFiles(strings.Repeat("<", 8000))
	d.Annotations = map[string]string{"x": strings.Repeat("<", 36<<10)} // six bytes each
	if size, err := validation.EncodedBytes(d); err != nil || size > validation.MaxRecordBytes {
		t.Fatalf("%d bytes, %v", size, err)
	}
	delivered, err := p.Deliver(t.Context(), d, r, false)
	if err != nil {
		t.Fatal(err)
	}
	e := delivered.Spec.Events[0]
	if e.ChangedFiles != nil || !e.ChangedFilesTruncated || delivered.Status.Phase != postern.DeliveryApplied {
		t.Errorf("got %d files, truncated = %t, %s", len(e.ChangedFiles), e.ChangedFilesTruncated,
			delivered.Status.Phase)
	}
}
