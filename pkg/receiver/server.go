// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	healthPath = "/healthz"

	headerTimeout  = 10 * time.Second
	idleTimeout    = 90 * time.Second // as net/http's own clients have it
	maxHeaderBytes = 64 << 10
	// responseTimeout bounds a request from the arrival of its body to the end of its answer.
	responseTimeout = 75 * time.Second
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	Handler http.Handler
	// Address is the host and the port to listen on; port 0 is any that is free. SharePort lets another process listen there
	// too.
	Address   string
	SharePort bool
	// MaxConnections is how many connections may be open; further ones wait until one of them ends. 0 is no limit.
	MaxConnections int
	// TLS needs Certificates. Without Certificates it is plain HTTP that is served.
	TLS          TLSOptions
	Certificates *Certificates
	// Rate bounds the requests, and MaxWaiting how many of them wait because of it. OnRateLimited is called for each that is
	// refused because of it; it is not needed without a Rate.
	Rate          Rate
	MaxWaiting    int
	OnRateLimited func()
	// BodyTimeout is how long the handler may wait for a body.
	BodyTimeout time.Duration
	// SecretsSynced reports whether it is known which secrets count. Nothing is served before.
	SecretsSynced cache.InformerSynced
	// ShutdownDelay is how long to go on after a signal to stop, and DrainTimeout how long requests may then take to end.
	ShutdownDelay, DrainTimeout time.Duration
	// OnStopped, if not nil, is called once no request is under way any more, or DrainTimeout is over.
	OnStopped func()
}

// Server serves the classic receiver. It is a Runnable of controller-runtime's manager.
type Server struct {
	config   ServerConfig
	stopping atomic.Bool
}

// NewServer returns a server that is ready to be started, once.
func NewServer(config ServerConfig) *Server { return &Server{config: config} }

// NeedLeaderElection tells the manager that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx is done, then finishes what is under way.
func (s *Server) Start(ctx context.Context) error {
	if s.config.OnStopped != nil {
		defer s.config.OnStopped()
	}
	if !cache.WaitForCacheSync(ctx.Done(), s.config.SecretsSynced) {
		return nil
	}
	listener, err := s.listen(ctx)
	if err != nil {
		return fmt.Errorf("could not listen for webhooks on %s (--webhook-bind-address, --webhook-port): %w", s.config.Address, err)
	}
	return s.serve(ctx, listener)
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	if s.config.SharePort {
		config.Control = sharePort
	}
	return config.Listen(ctx, "tcp", s.config.Address)
}

func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	if s.config.MaxConnections > 0 {
		listener = netutil.LimitListener(listener, s.config.MaxConnections)
	}
	server := s.httpServer(ctx)
	failed := make(chan error, 1)
	if s.config.Certificates == nil {
		klog.InfoS("WARNING: --disable-tls: webhooks, and the secrets in them, come in over plain HTTP; see that nobody listens on the way",
			"address", listener.Addr().String())
		go func() { failed <- server.Serve(listener) }()
	} else {
		klog.InfoS("Serving webhooks", "address", listener.Addr().String(), "minTLSVersion", versionNumber(s.config.TLS.MinVersion),
			"maxTLSVersion", versionNumber(s.config.TLS.MaxVersion), "rateLimit", s.config.Rate.String())
		go s.config.Certificates.Run(ctx)
		go func() { failed <- server.ServeTLS(listener, "", "") }()
	}
	select {
	case err := <-failed:
		return fmt.Errorf("could not serve webhooks: %w", errors.Join(err, server.Close()))
	case <-ctx.Done():
	}
	return s.shutDown(server, failed)
}

// shutDown goes on for the delay, and then ends the server with the last answer.
func (s *Server) shutDown(server *http.Server, failed <-chan error) error {
	s.stopping.Store(true)
	select {
	case err := <-failed:
		return fmt.Errorf("could not serve webhooks to the end: %w", errors.Join(err, server.Close()))
	case <-time.After(s.config.ShutdownDelay):
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("could not end all requests for webhooks in time: %w", errors.Join(err, server.Close()))
	}
	return nil
}

func (s *Server) httpServer(ctx context.Context) *http.Server {
	requestTimeout := headerTimeout + maxRateWait + s.config.BodyTimeout
	server := &http.Server{
		Handler:           s.withConnectionClose(s.config.Rate.limit(s.config.Handler, s.config.MaxWaiting, s.config.OnRateLimited)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout + responseTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         new(http.Protocols),
		ErrorLog:          log.New(errorLog{}, "", 0),
		// What is under way goes on when ctx is done.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	server.Protocols.SetHTTP1(true)
	if s.config.Certificates != nil {
		server.Protocols.SetHTTP2(s.config.TLS.HTTP2)
		server.HTTP2 = http2Config()
		server.TLSConfig = s.config.TLS.config(s.config.Certificates.getCertificate)
	}
	return server
}

// withConnectionClose ends each connection with the answer on it once the server is stopping, so that no sender uses one that
// is about to be closed.
func (s *Server) withConnectionClose(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
	})
}

// errorLog takes what net/http logs. Handshakes that fail are the doing of whoever connects, and can be many.
type errorLog struct{}

// Write logs one line.
func (errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.Contains(text, "TLS handshake error") {
		klog.V(2).InfoS("A connection for webhooks failed", "err", text)
	} else {
		klog.ErrorS(nil, "The server for webhooks reports", "err", text)
	}
	return len(line), nil
}

const (
	// The least that HTTP/2 allows.
	minFrameBytes         = 16 << 10
	minReceiveBufferBytes = 64 << 10
	// maxStreams is how many requests a connection may have under way. Each may have headers of maxHeaderBytes, and senders
	// send one webhook after the other; whoever has more to send opens another connection.
	maxStreams = 4
)

// http2Config keeps a connection of HTTP/2 from taking much more memory than one of HTTP/1.1. The server of net/http reads
// for a request that waits, for its turn or for room, up to a megabyte of its body, and holds the headers of 250 requests
// whose answers nobody takes: all that before any limit of ours sees it.
func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              minFrameBytes,
		MaxReceiveBufferPerConnection: minReceiveBufferBytes,
		MaxReceiveBufferPerStream:     minReceiveBufferBytes,
	}
}
