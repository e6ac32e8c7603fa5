// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"testing"
	"time"
)

func TestGAR_Unwrapped(t *testing.T) {
	const tag = "europe-docker.pkg.dev/acme/team/shop:1.4.1"
	header := http.Header{}
	header.Set("X-Goog-Pubsub-Message-Id", "11043827465")
	header.Set("X-Goog-Pubsub-Publish-Time", "2026-01-31T09:30:00.5Z")
	out, err := Decode(Input{Source: "gar", Header: header, Body: []byte(`{"action": "INSERT", "tag": "` + tag + `"}`)})
	if err != nil || len(out.Events) != 1 {
		t.Fatalf("got %+v, %v, want one event", out, err)
	}
	event := out.Events[0]
	if got := event.Image.String(); got != tag || out.DeliveryID != "11043827465" {
		t.Errorf("got image %s of delivery %s", got, out.DeliveryID)
	}
	if want := time.Date(2026, 1, 31, 9, 30, 0, 500_000_000, time.UTC); event.Time == nil ||
		!event.Time.Time.Equal(want) {
		t.Errorf("got time %v, want %v", event.Time, want)
	}
}

const digestOfShop = "sha256:" + "4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e" + "4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e"

func TestGAR_UnwrappedWithoutMetadata(t *testing.T) {
	for body, want := range map[string]struct {
		events  int
		ignored string
	}{
		`{"action": "INSERT", "digest": "gcr.io/acme/shop@` + digestOfShop + `", "tag": "gcr.io/acme/shop:1"}`: {
			events: 1},
		`{"action": "INSERT", "digest": "gcr.io/acme/shop@` + digestOfShop + `"}`: {
			ignored: IgnoredDigestOnly},
		`{"action": "DELETE", "tag": "gcr.io/acme/shop:1"}`: {
			ignored: IgnoredRefDeleted},
	} {
		out, err := Decode(Input{Source: "gar", Body: []byte(body)})
		var ignored string
		if len(out.Ignored) > 0 {
			ignored = out.Ignored[0].Reason
		}
		if err != nil || len(out.Events) != want.events || ignored != want.ignored {
			t.Errorf("%s: got %+v, %v, want %+v", body, out, err, want)
		}
	}
}

func TestGAR_UnwrappedIsOnlyReadAtItsPath(t *testing.T) {
	for _, body := range []string{`{"action": "INSERT", "tag": "gcr.io/acme/shop:1"}`, `{"action": "INSERT"}`} {
		if out, err := Decode(Input{Body: []byte(body)}); err == nil {
			t.Errorf("%s is read as one of %s", body, out.Source)
		}
	}
	if _, err := Decode(Input{Source: "gar", Body: []byte(`{"action": "INSERT"}`)}); err == nil {
		t.Error("a message without an image is accepted")
	}
	body := `{"action": "INSERT", "tag": "registry.example.com/acme/shop:1"}`
	if out, err := Decode(Input{Source: "gar", Body: []byte(body)}); err == nil {
		t.Errorf("an image of another registry is accepted: %+v", out)
	}
}
