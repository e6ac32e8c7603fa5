// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"strings"
	"sync"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/registry/deliver"
)

// holder answers on the port of the API server while there is no storage to serve from, or no kube-apiserver to serve
// behind: that the process lives, and everything else with 503. With certificates of its own it serves with whatever there
// is, at first with one that nobody can verify: a kubelet, which asks whether the process lives, does not, and all others are
// to go away just now. Its methods may be called from any goroutine, and more than once.
type holder struct {
	options *options

	mu       sync.Mutex
	stop     chan struct{}
	stopped  <-chan struct{}
	released bool
}

// take begins to answer. That it can't is logged only: the storage is what matters, and the API server will say the same.
func (h *holder) take() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil || h.released {
		return
	}
	serving := *h.options.recommended.SecureServing.SecureServingOptions // of its own, since it keeps the listener
	var info *genericapiserver.SecureServingInfo
	err := serving.ApplyTo(&info)
	if err == nil && info != nil { // nil: no port is to be served
		const drain = 5 * time.Second
		h.stop = make(chan struct{})
		h.stopped, _, err = info.Serve(http.HandlerFunc(answerWithoutStorage), drain, h.stop)
	}
	if err != nil {
		klog.ErrorS(err, "Could not answer while there is no storage")
		if serving.Listener != nil {
			_ = serving.Listener.Close()
		}
	}
}

// release ends answering and gives the port back.
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
}

func answerWithoutStorage(w http.ResponseWriter, req *http.Request) {
	// Who comes again should meet the API server, and a body that never arrives should hold nothing.
	w.Header().Set("Connection", "close")
	if req.URL.Path == "/livez" || strings.HasPrefix(req.URL.Path, "/livez/") {
		_, _ = w.Write([]byte("ok"))
		return
	}
	deliver.WriteError(w, apiserver.ErrStorageUnavailable())
}
