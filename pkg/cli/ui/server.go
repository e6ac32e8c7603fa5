// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package ui serves a page on loopback that shows the deliveries of a cluster to the user who runs it, with that user's
// permissions: what was delivered and how it ended, the senders, and rates. It can deliver again.
//
// Nothing of it runs in the cluster. The pages are made here, and work without JavaScript but for live updates.
package ui

import (
	"context"
	"embed"
	"fmt"
	"net"
	"net/http"
	"time"

	"postern.dev/postern/pkg/cli"
)

const (
	// maxBody bounds the body of a request, a short form.
	maxBody = 4 << 10
	// buildTimeout bounds the requests to the cluster for one page.
	buildTimeout = 15 * time.Second
	// firstScreen is how long a page waits for all deliveries before it shows those that it has.
	firstScreen = 700 * time.Millisecond
)

//go:embed assets
var assets embed.FS

// server serves the page.
type server struct {
	cluster *cli.Cluster
	gate    *gate
	feeds   *feeds
	forms   forms
	// live bounds the pages that are updated at a time.
	live chan struct{}
}

// newServer returns a server for a listener. Its feeds end with ctx.
func newServer(ctx context.Context, cluster *cli.Cluster, listener net.Listener) (*server, error) {
	address := listener.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("could not read the address of the listener: %w", err)
	}
	return &server{
		cluster: cluster, gate: newGate(address, port), feeds: newFeeds(ctx, cluster.Postern),
		live: make(chan struct{}, maxLive),
	}, nil
}

// handler serves everything, for those who have entered.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.Handle("GET /assets/", http.FileServerFS(assets))
	mux.HandleFunc("GET /deliveries", s.followed("deliveries", s.deliveries))
	mux.HandleFunc("GET /delivery", s.followed("delivery", s.delivery))
	mux.HandleFunc("GET /rates", s.followed("rates", s.rates))
	mux.HandleFunc("GET /senders", s.page("senders", s.senders))
	mux.HandleFunc("GET /redeliver", s.page("redeliver", s.confirm))
	mux.HandleFunc("POST /redeliver", s.redeliver)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &pageError{http.StatusNotFound, "There is no such page."})
	})
	return s.gate.protect(mux, s.enter, s.refuse)
}

// serve serves listener until ctx is done, and then ends all requests at once.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * buildTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("could not serve the page: %w", err)
	}
	return nil
}

// address returns where the page is, with a token.
func (s *server) address(listener net.Listener, token string) string {
	return fmt.Sprintf("http://%s%s%s?token=%s", listener.Addr(), s.gate.root, enterPath, token)
}

// home goes to the deliveries of the user's namespace.
func (s *server) home(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", link("deliveries", "namespace", s.cluster.Namespace))
	w.WriteHeader(http.StatusSeeOther)
}

func (s *server) enter(w http.ResponseWriter, r *http.Request) {
	s.render(w, http.StatusOK, "enter", &view{Title: "Opening"})
}

func (s *server) refuse(w http.ResponseWriter, r *http.Request) {
	s.render(w, http.StatusForbidden, "refused", &view{Title: "Not opened"})
}
