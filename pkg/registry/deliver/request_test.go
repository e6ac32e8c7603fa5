// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestReadBody_AllOrNothing(t *testing.T) {
	fits, tooLarge := strings.Repeat("a", limit), strings.Repeat("a", limit+1)
	for name, test := range map[string]struct {
		body io.Reader // chunked if its length is unknown
		want string
		code int
	}{
		"none":               {http.NoBody, "", http.StatusAccepted},
		"largest":            {strings.NewReader(fits), fits, http.StatusAccepted},
		"largest, chunked":   {io.MultiReader(strings.NewReader(fits)), fits, http.StatusAccepted},
		"too large":          {strings.NewReader(tooLarge), "", http.StatusRequestEntityTooLarge},
		"too large, chunked": {io.MultiReader(strings.NewReader(tooLarge)), "", http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			d := newTestEndpoint(t)
			resp, err := http.Post(d.url, "application/json", test.body)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != test.code {
				t.Errorf("got %d, want %d", resp.StatusCode, test.code)
			}
			if delivered := test.code == http.StatusAccepted; d.deliverer.called != delivered {
				t.Errorf("delivered: %t, want %t", d.deliverer.called, delivered)
			}
			if got := string(d.deliverer.in.Body); got != test.want {
				t.Errorf("delivered %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadBody_Truncated(t *testing.T) {
	for name, request := range map[string]string{
		"sized":   "Content-Length: 10\r\n\r\nabc",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"garbled": "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := newTestEndpoint(t)
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: postern\r\n"+request); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("got %d, want 400", resp.StatusCode)
			}
			if d.deliverer.called {
				t.Errorf("delivered %q", d.deliverer.in.Body)
			}
		})
	}
}

// Nothing decompresses the body, and it is unknown whether a signature covers the compressed or the original bytes.
func TestReadBody_CompressedIsRefused(t *testing.T) {
	for encoding, want := range map[string]int{"gzip": http.StatusBadRequest, "identity": http.StatusAccepted} {
		d := newTestEndpoint(t)
		if got := d.request(t, http.MethodPost, "{}", http.Header{"Content-Encoding": {encoding}}).Code; got != want {
			t.Errorf("%s: got %d, want %d", encoding, got, want)
		}
	}
}

func TestREST_ListOptionsAreRefused(t *testing.T) {
	for query, wantErr := range map[string]bool{
		"":                             false,
		"pretty=true&timeout=5s":       false,
		"watch=true":                   true,
		"fieldSelector=spec.source%3D": true,
		"limit=2":                      true,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if err := refuseListOptions(values); apierrors.IsBadRequest(err) != wantErr {
			t.Errorf("%q: got error %v, want one: %t", query, err, wantErr)
		}
	}
}

// An invalid value must not cause a write.
func TestWithDryRun_ReadsQuery(t *testing.T) {
	for query, want := range map[string]struct {
		code   int
		dryRun bool
	}{
		"":                      {http.StatusAccepted, false},
		"?other=All":            {http.StatusAccepted, false},
		"?dryRun=All":           {http.StatusAccepted, true},
		"?dryRun=":              {code: http.StatusBadRequest},
		"?dryRun=all":           {code: http.StatusBadRequest},
		"?dryRun=true":          {code: http.StatusBadRequest},
		"?dryRun=All&dryRun=No": {code: http.StatusBadRequest},
	} {
		t.Run(query, func(t *testing.T) {
			d := newTestEndpoint(t)
			resp, err := http.Post(d.url+query, "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want.code {
				t.Errorf("got %d, want %d", resp.StatusCode, want.code)
			}
			if d.deliverer.dryRun != want.dryRun || d.deliverer.called != (want.code == http.StatusAccepted) {
				t.Errorf("delivered: %t, dry run: %t", d.deliverer.called, d.deliverer.dryRun)
			}
		})
	}
}
