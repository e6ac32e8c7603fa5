// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// WithoutContinue keeps the server from sending 100 Continue to the kube-apiserver. It must be the outermost handler.
//
// A sender may wait for 100 Continue before it sends the body (Expect: 100-continue). The kube-apiserver sends that
// itself, and relays the header. net/http answers it at the first read of the body, and has no switch for that. The
// proxy in the kube-apiserver relays this answer too, and its timeout filter takes it for the response: it drops the
// code and the headers that follow, so the sender gets 200 for any response. RFC 9110, section 10.1.1, lets a server
// omit it if the body is arriving, which the kube-apiserver does not delay. So this handler takes over the connection,
// and a server for this connection alone reads the request again, without the header.
//
// Only the kube-apiserver needs a client certificate; other clients may wait. Over HTTP/2 a connection can't be taken
// over.
//
// Sources: ReverseProxy.ServeHTTP in net/http/httputil; baseTimeoutWriter.WriteHeader in k8s.io/apiserver,
// pkg/server/filters/timeout.go.
func WithoutContinue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		relayed := req.TLS != nil && len(req.TLS.PeerCertificates) > 0
		if !relayed || req.ProtoMajor != 1 || req.Header.Get("Expect") == "" || req.ContentLength == 0 {
			next.ServeHTTP(w, req)
			return
		}
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			WriteError(w, ErrUnavailable("the request can't be read: send it without Expect: 100-continue"))
			return
		}
		received, _ := buffer.Reader.Peek(buffer.Reader.Buffered()) // of what is buffered, all can be peeked
		serveAgain(conn, io.MultiReader(headerWithoutExpect(req), bytes.NewReader(bytes.Clone(received)), conn), req,
			next)
	})
}

// headerWithoutExpect returns the request line and the header of a request as they arrived, except for Expect. net/http
// has validated them, so no value can begin another line.
func headerWithoutExpect(req *http.Request) io.Reader {
	var header bytes.Buffer
	fmt.Fprintf(&header, "%s %s HTTP/1.1\r\nHost: %s\r\n", req.Method, req.RequestURI, req.Host)
	if req.ContentLength < 0 {
		header.WriteString("Transfer-Encoding: chunked\r\n")
	} else {
		fmt.Fprintf(&header, "Content-Length: %d\r\n", req.ContentLength)
	}
	_ = req.Header.WriteSubset(&header, map[string]bool{"Expect": true, "Content-Length": true}) // a buffer never fails
	header.WriteString("\r\n")
	return &header
}

// serveAgain serves one request from a connection that was taken over, and closes it.
func serveAgain(conn net.Conn, reader io.Reader, original *http.Request, next http.Handler) {
	listener := &singleListener{conn: &replayedConn{conn, reader}, closed: make(chan struct{})}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			req.TLS = original.TLS
			next.ServeHTTP(w, req)
		}),
		// The context of the original ends if its own server can't read anymore.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(original.Context()) },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				_ = listener.Close()
			}
		},
	}
	if outer, ok := original.Context().Value(http.ServerContextKey).(*http.Server); ok {
		server.ErrorLog, server.ReadHeaderTimeout = outer.ErrorLog, outer.ReadHeaderTimeout
	}
	server.SetKeepAlivesEnabled(false) // one request
	_ = server.Serve(listener)         // the error is that the listener is closed
}

// replayedConn is a connection that is read through a reader.
type replayedConn struct {
	net.Conn
	reader io.Reader
}

// Read reads what was read before, then from the connection.
func (c *replayedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// singleListener accepts one connection.
type singleListener struct {
	conn   net.Conn
	closed chan struct{}
	accept sync.Once
	close  sync.Once
}

// Accept returns the connection, and the second time blocks until the listener is closed.
func (l *singleListener) Accept() (conn net.Conn, err error) {
	l.accept.Do(func() { conn = l.conn })
	if conn != nil {
		return conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close ends Accept.
func (l *singleListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the local address of the connection.
func (l *singleListener) Addr() net.Addr { return l.conn.LocalAddr() }
