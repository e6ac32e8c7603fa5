// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/registry/deliver"
)

// startupServer answers on the port of the API server while there is no storage to serve from, or no kube-apiserver that tells
// what there is to serve: that the process lives, and everything else with 503. With certificates of its own it serves with
// whatever there is, at first with one that nobody can verify: a kubelet, which asks whether the process lives, does not, and
// all others are to go away just now. Its methods may be called from any goroutine, and more than once.
type startupServer struct {
	options *options

	mu         sync.Mutex
	listener   *handoffListener
	stopCh     chan struct{}
	stoppedCh  <-chan struct{}
	handedOver bool
}

// listen takes the port for the whole life of the process, so that nobody is refused who comes early.
func (s *startupServer) listen() error {
	serving := s.options.recommended.SecureServing.SecureServingOptions
	var info *genericapiserver.SecureServingInfo
	if err := serving.ApplyTo(&info); err != nil { // which leaves the listener in the options
		return fmt.Errorf("could not listen: %w", err)
	}
	return nil
}

// start begins to answer. That it can't is logged only: the API server will say the same.
func (s *startupServer) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	tcpListener, ok := s.options.recommended.SecureServing.Listener.(*net.TCPListener)
	if s.stopCh != nil || s.handedOver || !ok { // without a port there is nothing to hold
		return
	}
	s.listener = &handoffListener{TCPListener: tcpListener}
	serving := *s.options.recommended.SecureServing.SecureServingOptions
	serving.Listener = s.listener
	var info *genericapiserver.SecureServingInfo
	err := serving.ApplyTo(&info)
	if err == nil {
		const drain = 5 * time.Second
		s.stopCh = make(chan struct{})
		s.stoppedCh, _, err = info.Serve(http.HandlerFunc(serveUnavailable), drain, s.stopCh)
	}
	if err != nil {
		klog.ErrorS(err, "Could not answer while nothing can be served")
	}
}

// handOver ends answering and leaves the port to the API server.
func (s *startupServer) handOver() {
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
	}
	s.listener.reset()
}

// handoffListener is a listener that is closed without the port being given up, which the next one goes on to use.
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

// Close ends every Accept that waits.
func (l *handoffListener) Close() error {
	l.closed.Store(true)
	return l.SetDeadline(time.Unix(1, 0)) // long ago
}

// reset lets the next one accept. Nobody may wait in Accept any more.
func (l *handoffListener) reset() { _ = l.SetDeadline(time.Time{}) }

func serveUnavailable(w http.ResponseWriter, req *http.Request) {
	// Who comes again should meet the API server, and a body that never arrives should hold nothing.
	w.Header().Set("Connection", "close")
	if req.URL.Path == "/livez" || strings.HasPrefix(req.URL.Path, "/livez/") {
		_, _ = w.Write([]byte("ok"))
		return
	}
	deliver.WriteError(w, apiserver.ErrStorageUnavailable())
}
