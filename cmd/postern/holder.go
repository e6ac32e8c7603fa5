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

// holder answers on the port of the API server while there is no storage to serve from, or no kube-apiserver that tells
// what there is to serve: that the process lives, and everything else with 503. With certificates of its own it serves with
// whatever there is, at first with one that nobody can verify: a kubelet, which asks whether the process lives, does not, and
// all others are to go away just now. Its methods may be called from any goroutine, and more than once.
type holder struct {
	options *options

	mu       sync.Mutex
	turn     *turn
	stop     chan struct{}
	stopped  <-chan struct{}
	released bool
}

// listen takes the port for the whole life of the process, so that nobody is refused who comes early.
func (h *holder) listen() error {
	serving := h.options.recommended.SecureServing.SecureServingOptions
	var info *genericapiserver.SecureServingInfo
	if err := serving.ApplyTo(&info); err != nil { // which leaves the listener in the options
		return fmt.Errorf("could not listen: %w", err)
	}
	return nil
}

// take begins to answer. That it can't is logged only: the API server will say the same.
func (h *holder) take() {
	h.mu.Lock()
	defer h.mu.Unlock()
	port, ok := h.options.recommended.SecureServing.Listener.(*net.TCPListener)
	if h.stop != nil || h.released || !ok { // without a port there is nothing to hold
		return
	}
	h.turn = &turn{TCPListener: port}
	serving := *h.options.recommended.SecureServing.SecureServingOptions
	serving.Listener = h.turn
	var info *genericapiserver.SecureServingInfo
	err := serving.ApplyTo(&info)
	if err == nil {
		const drain = 5 * time.Second
		h.stop = make(chan struct{})
		h.stopped, _, err = info.Serve(http.HandlerFunc(answerWithoutStorage), drain, h.stop)
	}
	if err != nil {
		klog.ErrorS(err, "Could not answer while nothing can be served")
	}
}

// release ends answering and leaves the port to the API server.
func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	again := h.released
	h.released = true
	if again || h.stop == nil {
		return
	}
	close(h.stop)
	if h.stopped != nil {
		<-h.stopped
	}
	h.turn.end()
}

// turn is a listener that is closed without the port being given up, which the next one goes on to use.
type turn struct {
	*net.TCPListener
	closed atomic.Bool
}

// Accept returns net.ErrClosed after Close.
func (t *turn) Accept() (net.Conn, error) {
	conn, err := t.TCPListener.Accept()
	if err != nil && t.closed.Load() {
		return nil, net.ErrClosed
	}
	return conn, err
}

// Close ends every Accept that waits.
func (t *turn) Close() error {
	t.closed.Store(true)
	return t.SetDeadline(time.Unix(1, 0)) // long ago
}

// end lets the next one accept. Nobody may wait in Accept any more.
func (t *turn) end() { _ = t.SetDeadline(time.Time{}) }

func answerWithoutStorage(w http.ResponseWriter, req *http.Request) {
	// Who comes again should meet the API server, and a body that never arrives should hold nothing.
	w.Header().Set("Connection", "close")
	if req.URL.Path == "/livez" || strings.HasPrefix(req.URL.Path, "/livez/") {
		_, _ = w.Write([]byte("ok"))
		return
	}
	deliver.WriteError(w, apiserver.ErrStorageUnavailable())
}
