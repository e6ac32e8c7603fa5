// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

const testdata = "../../payload/testdata"

// readHeaders returns the headers that a sender sent with a body, or nil.
func readHeaders(t *testing.T, body string) http.Header {
	t.Helper()
	text, err := os.ReadFile(strings.TrimSuffix(body, filepath.Ext(body)) + ".headers")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(text, '\n')))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return http.Header(header)
}

// events returns what a payload requests, without the id of the delivery.
func events(t *testing.T, in payload.Input) ([]postern.DeliveryEvent, error) {
	t.Helper()
	decoded, err := payload.Decode(in)
	for i := range decoded.Events {
		decoded.Events[i].DeliveryID, decoded.Events[i].Time = "", nil
	}
	return decoded.Events, err
}

// unlike are examples whose headers do not follow from the body.
var unlike = []string{
	"binary", "delete-sent-as-push", "without-header", "-gogs", "by-hand", "batch", "cloudevent", "unwrapped",
	"custom-template",
}

// The headers that are found from a body make Postern decode it as with those that the sender sent.
func TestHeaders_DecodeLikeThoseOfTheSender(t *testing.T) {
	files, err := filepath.Glob(testdata + "/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, file := range files {
		sent := readHeaders(t, file)
		if strings.HasSuffix(file, ".golden.json") || sent == nil || containsAny(filepath.Base(file), unlike) {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source := filepath.Base(filepath.Dir(file))
		in := payload.Input{Source: source, Header: sent, Body: body, RegistryURL: "registry.example.com"}
		want, err := events(t, in)
		if err != nil || len(want) == 0 {
			continue // nothing is requested
		}
		compared++
		in.Header = headersOf(source, body, "id", time.Unix(1772616645, 0))
		got, err := events(t, in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s with %v, error %v (-want +got):\n%s", file, in.Header, err, diff)
		}
		for _, name := range []string{"X-Github-Event", "X-Gitlab-Event", "X-Event-Key", "X-Nexus-Webhook-Id"} {
			if source != "gitea" && sent.Get(name) != in.Header.Get(name) {
				t.Errorf("%s: %s is %q, want %q", file, name, in.Header.Get(name), sent.Get(name))
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d examples were compared", compared)
	}
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
