// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package sdks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	cdevents "github.com/cdevents/sdk-go/pkg/api"
	cdevents03 "github.com/cdevents/sdk-go/pkg/api/v03"
	cdevents04 "github.com/cdevents/sdk-go/pkg/api/v04"
	cdevents05 "github.com/cdevents/sdk-go/pkg/api/v05"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

const (
	digest  = "sha256:4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e"
	purl    = "pkg:oci/shop@sha256%3A4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e4b1d9c0e"
	shopURL = purl + "?repository_url=registry.example.com/team/shop&tag=1.4.0"
)

var happened = time.Date(2026, 3, 4, 9, 30, 45, 0, time.UTC)

// published returns a published artifact by each version of the specification that is in use.
func published(t *testing.T) map[string]cdevents.CDEvent {
	t.Helper()
	events := map[string]cdevents.CDEvent{}
	var err error
	if events["0.3"], err = cdevents03.NewArtifactPublishedEvent(); err != nil {
		t.Fatal(err)
	}
	if events["0.4"], err = cdevents04.NewArtifactPublishedEvent(); err != nil {
		t.Fatal(err)
	}
	if events["0.5"], err = cdevents05.NewArtifactPublishedEvent(); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		e.SetSource("/ci/build")
		e.SetSubjectId(shopURL)
		e.SetTimestamp(happened)
	}
	return events
}

// asCloudEvent renders an event. It fails if the event does not have the schema of its specification.
func asCloudEvent(t *testing.T, e cdevents.CDEventReader) cloudevents.Event {
	t.Helper()
	rendered, err := cdevents.AsCloudEvent(e)
	if err != nil {
		t.Fatal(err)
	}
	return *rendered
}

// modes send events as the SDK of CloudEvents does.
var modes = map[string]func(ctx context.Context, url string, e cloudevents.Event) error{
	"binary":     send(cloudevents.WithEncodingBinary),
	"structured": send(cloudevents.WithEncodingStructured),
	"batched": func(ctx context.Context, url string, e cloudevents.Event) error {
		req, err := cehttp.NewHTTPRequestFromEvents(ctx, url, []cloudevents.Event{e})
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	},
}

func send(encoding func(context.Context) context.Context) func(context.Context, string, cloudevents.Event) error {
	return func(ctx context.Context, url string, e cloudevents.Event) error {
		client, err := cloudevents.NewClientHTTP()
		if err != nil {
			return err
		}
		if result := client.Send(cloudevents.ContextWithTarget(encoding(ctx), url), e); !cloudevents.IsACK(result) {
			return fmt.Errorf("not accepted: %w", result)
		}
		return nil
	}
}

// receive returns how Postern decodes what is sent.
func receive(t *testing.T, mode string, e cloudevents.Event) payload.Decoded {
	t.Helper()
	var decoded payload.Decoded
	var decodeErr error
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			decodeErr = err
			return
		}
		decoded, decodeErr = payload.Decode(payload.Input{Header: r.Header, Body: body})
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	if err := modes[mode](t.Context(), server.URL, e); err != nil {
		t.Fatal(err)
	}
	if decodeErr != nil {
		t.Fatal(decodeErr)
	}
	return decoded
}

func TestCDEvents_PublishedArtifact(t *testing.T) {
	want := &postern.ImageReference{
		Host: "registry.example.com", Repository: "team/shop", Tag: "1.4.0", Digest: digest,
	}
	for version, event := range published(t) {
		for mode := range modes {
			t.Run(version+"/"+mode, func(t *testing.T) {
				got := receive(t, mode, asCloudEvent(t, event))
				if len(got.Events) != 1 {
					t.Fatalf("got %+v, want one event", got)
				}
				if diff := cmp.Diff(want, got.Events[0].Image); diff != "" {
					t.Errorf("image (-want +got):\n%s", diff)
				}
				if e := got.Events[0]; e.Event != event.GetType().String() || e.DeliveryID != event.GetId() {
					t.Errorf("the event is %s with the id %s, want %s with %s", e.Event, e.DeliveryID, event.GetType(),
						event.GetId())
				}
				if at := got.Events[0].Time; at == nil || !at.Time.Equal(happened) {
					t.Errorf("it happened at %v, want %v, whatever the time of sending", at, happened)
				}
			})
		}
	}
}
