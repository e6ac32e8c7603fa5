// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readAll answers 202, or the error of reading the body.
var readAll = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
	if _, err := io.ReadAll(req.Body); err != nil {
		WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
})

func TestBodyTimeout_AnswersOverTCP(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, length := range []int64{100, -1} {
			t.Run(fmt.Sprintf("%s of length %d", proto, length), func(t *testing.T) {
				server := httptest.NewUnstartedServer(WithBodyTimeout(readAll, 20*time.Millisecond))
				server.EnableHTTP2 = proto == "HTTP/2.0"
				server.StartTLS()
				defer server.Close()

				body, rest := io.Pipe()
				defer func() { _ = rest.Close() }()
				go func() { _, _ = io.WriteString(rest, `{"ref":`) }()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = length
				resp, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				if resp.Proto != proto {
					t.Errorf("the answer is %s", resp.Proto)
				}
				answer := httptest.NewRecorder()
				answer.Code = resp.StatusCode
				maps.Copy(answer.Header(), resp.Header)
				if _, err := io.Copy(answer.Body, resp.Body); err != nil {
					t.Fatal(err)
				}
				mustAnswerTooManyRequests(t, answer, http.StatusGatewayTimeout, metav1.StatusReasonTimeout,
					"--payload-timeout")
			})
		}
	}
}

// pipeListener accepts one end of a net.Pipe, which works with the clock of a synctest bubble.
type pipeListener struct {
	conns chan net.Conn
}

func (l *pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *pipeListener) Close() error   { return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial returns a connection to a server with that handler. Both are closed when the test ends.
func dial(t *testing.T, handler http.Handler) net.Conn {
	t.Helper()
	listener := &pipeListener{make(chan net.Conn, 1)}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	client, accepted := net.Pipe()
	listener.conns <- accepted
	t.Cleanup(func() {
		_ = client.Close()
		close(listener.conns)
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the server ended with %v", err)
		}
		_ = server.Close()
	})
	return client
}

const testTimeout = 30 * time.Second

func TestBodyTimeout_UnreadBodyClosesConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, WithBodyTimeout(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
		}), testTimeout))
		start := time.Now()
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn) // ends when the server closes the connection
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
			t.Errorf("got %q, want 401", answer)
		}
		if took := time.Since(start); took < testTimeout || took > testTimeout+time.Second {
			t.Errorf("the connection was closed after %s, want %s", took, testTimeout)
		}
	})
}

func TestBodyTimeout_AllowsSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, WithBodyTimeout(readAll, testTimeout))
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		for range 29 {
			<-time.After(time.Second)
			if _, err := io.WriteString(conn, "x"); err != nil {
				t.Fatal(err)
			}
		}
		mustAnswer(t, conn, http.StatusAccepted)
	})
}

// The framework answers a request whose context ends, without the cause.
func TestBodyTimeout_KeepsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, WithBodyTimeout(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			readAll(w, req)
			synctest.Wait()
			if err := req.Context().Err(); err != nil {
				t.Error(err)
			}
		}), testTimeout))
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"); err != nil {
			t.Fatal(err)
		}
		mustAnswer(t, conn, http.StatusGatewayTimeout)
	})
}

func TestBodyTimeout_DisconnectCancelsContext(t *testing.T) {
	for _, sent := range []string{"whole", "half"} {
		t.Run(sent, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				conn := dial(t, WithBodyTimeout(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
					_, _ = io.ReadAll(req.Body)
					<-req.Context().Done() // otherwise synctest reports a deadlock
					close(ended)
				}), testTimeout))
				request := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" + sent
				if _, err := io.WriteString(conn, request); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
				<-ended
			})
		})
	}
}

// The server cancels the request after an error of the connection, because the client seems to have left.
func TestBodyTimeout_StopsOnceBodyWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, WithBodyTimeout(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			readAll(w, req)
			select {
			case <-req.Context().Done():
				t.Error(context.Cause(req.Context()))
			case <-time.After(2 * testTimeout):
			}
		}), testTimeout))
		for range 2 { // the second time on the same connection
			const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nwhole"
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			mustAnswer(t, conn, http.StatusAccepted)
		}
	})
}

func mustAnswer(t *testing.T, conn net.Conn, code int) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != code {
		t.Errorf("got %d, want %d", resp.StatusCode, code)
	}
}
