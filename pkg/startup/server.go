// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package startup

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apiserver/filters"
)

// server serves on the API server's port while the storage or the kube-apiserver is not available: /livez succeeds, and
// every other path returns 503. Clients can't verify its certificate until a CA exists; kubelet probes do not verify
// it. Its methods are idempotent and safe for concurrent use.
type server struct {
	serving *genericoptions.SecureServingOptions

	mu       sync.Mutex
	listener *handoffListener
	stopCh   chan struct{}
	// stoppedCh is closed once no request is served, listenerStoppedCh once the listener is no longer used.
	stoppedCh, listenerStoppedCh <-chan struct{}
	handedOver                   bool
}

// listen binds the port for the life of the process, so that early connections are not refused.
func (s *server) listen() error {
	var info *genericapiserver.SecureServingInfo
	if err := s.serving.ApplyTo(&info); err != nil { // stores the listener in the options
		return fmt.Errorf("could not listen: %w", err)
	}
	return nil
}

// start starts serving. Errors are only logged: the API server will return the same error.
func (s *server) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	tcpListener, ok := s.serving.Listener.(*net.TCPListener)
	if s.stopCh != nil || s.handedOver || !ok { // without a listener there is nothing to serve on
		return
	}
	s.listener = &handoffListener{TCPListener: tcpListener}
	serving := *s.serving
	serving.Listener = s.listener
	var info *genericapiserver.SecureServingInfo
	err := serving.ApplyTo(&info)
	if err == nil {
		const drain = 5 * time.Second
		s.stopCh = make(chan struct{})
		s.stoppedCh, s.listenerStoppedCh, err = info.Serve(http.HandlerFunc(serveUnavailable), drain, s.stopCh)
	}
	if err != nil {
		klog.ErrorS(err, "Could not serve while starting")
	}
}

// handOver stops serving and leaves the port to the API server.
func (s *server) handOver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	already := s.handedOver
	s.handedOver = true
	if already || s.stopCh == nil {
		return
	}
	close(s.stopCh)
	if s.stoppedCh != nil {
		<-s.stoppedCh
		<-s.listenerStoppedCh
	}
	s.listener.reset()
}

// handoffListener is a listener whose Close keeps the port bound for the next server.
type handoffListener struct {
	*net.TCPListener
	closed atomic.Bool
}

// Accept returns net.ErrClosed after Close.
func (l *handoffListener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if err != nil && l.closed.Load() {
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close makes every pending Accept return.
func (l *handoffListener) Close() error {
	l.closed.Store(true)
	return l.SetDeadline(time.Unix(1, 0)) // in the past
}

// reset lets the next server accept. No call of Accept or Close may be pending or follow.
func (l *handoffListener) reset() { _ = l.SetDeadline(time.Time{}) }

func serveUnavailable(w http.ResponseWriter, req *http.Request) {
	// Clients that retry should reach the API server, and a body that never arrives should take no resources.
	w.Header().Set("Connection", "close")
	if req.URL.Path == "/livez" || strings.HasPrefix(req.URL.Path, "/livez/") {
		_, _ = w.Write([]byte("ok"))
		return
	}
	filters.WriteError(w, filters.ErrStorageUnavailable())
}
