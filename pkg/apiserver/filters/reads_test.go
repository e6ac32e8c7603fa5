// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// watchServer serves a watch that writes that many events, over one connection at a time.
func watchServer(
	t *testing.T, verb string, timeout time.Duration, events int,
) (server *httptest.Server, ended <-chan error) {
	t.Helper()
	done := make(chan error, 10)
	event := strings.Repeat("x", 1<<20)
	watch := WithYieldingReads(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range events {
			if _, err := io.WriteString(w, event); err != nil {
				done <- err
				return
			}
			w.(http.Flusher).Flush()
		}
		done <- nil
	}), timeout)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info := toObject
		info.Verb = verb
		watch.ServeHTTP(w, req.WithContext(genericapirequest.WithRequestInfo(req.Context(), &info)))
	}))
	t.Cleanup(server.Close)
	return server, done
}

func TestWatch_UnreadConnectionIsClosed(t *testing.T) {
	server, ended := watchServer(t, "watch", 50*time.Millisecond, 1000)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a gigabyte was written to a client that reads nothing")
	}
}

func TestWatch_ReadConnectionStaysOpen(t *testing.T) {
	const timeout = time.Second
	server, ended := watchServer(t, "watch", timeout, 3)
	for range 2 { // on one connection, after the deadline of the first watch
		answer, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if read, err := io.Copy(io.Discard, bufio.NewReader(answer.Body)); err != nil || read != 3<<20 {
			t.Errorf("read %d bytes: %v", read, err)
		}
		_ = answer.Body.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-time.After(timeout + 100*time.Millisecond)
	}
}

func TestWatch_IdleHTTP2StaysOpen(t *testing.T) {
	const timeout = 50 * time.Millisecond
	watch := WithYieldingReads(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for range 2 {
			if _, err := io.WriteString(w, "event"); err != nil {
				t.Error(err)
			}
			w.(http.Flusher).Flush()
			select {
			case <-req.Context().Done():
				t.Error("the watch has ended")
			case <-time.After(4 * timeout):
			}
		}
	}), timeout)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info := toObject
		info.Verb = "watch"
		watch.ServeHTTP(w, req.WithContext(genericapirequest.WithRequestInfo(req.Context(), &info)))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); err != nil || string(got) != "eventevent" || answer.ProtoMajor != 2 {
		t.Errorf("read %q by HTTP/%d: %v", got, answer.ProtoMajor, err)
	}
}
