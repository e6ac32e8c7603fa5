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
	"syscall"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apiserver/filters"
)

const (
	healthPath = "/healthz"

	headerTimeout  = 10 * time.Second
	idleTimeout    = 90 * time.Second // same as http.DefaultTransport
	maxHeaderBytes = 64 << 10
	// responseTimeout bounds the time from the arrival of a body to the end of the response.
	responseTimeout = 75 * time.Second
)

// ServerConfig configures a Server.
type ServerConfig struct {
	Handler http.Handler
	// Address is the host and port to listen on; 0 picks a free port. SharePort lets other processes listen there too.
	Address   string
	SharePort bool
	// MaxConnections limits open connections; more wait until one is closed. 0 is no limit.
	MaxConnections int
	// TLS needs Certificates. If Certificates is nil, the server speaks plain HTTP.
	TLS          TLSOptions
	Certificates *Certificates
	// Rate limits the requests, and MaxWaiting how many of them may wait for it. OnRateLimited is called for each
	// request refused by Rate; it may be nil without a Rate.
	Rate          Rate
	MaxWaiting    int
	OnRateLimited func()
	// BodyTimeout bounds how long a body may take to arrive.
	BodyTimeout time.Duration
	// SecretsSynced reports whether all secrets are loaded. Nothing is served before.
	SecretsSynced cache.InformerSynced
	// ShutdownDelay is how long to serve after a signal to stop, DrainTimeout how long to wait for requests then.
	ShutdownDelay, DrainTimeout time.Duration
	// OnStopped, if not nil, is called when no request is in flight anymore or DrainTimeout has passed.
	OnStopped func()
}

// Server serves the classic receiver. It implements manager.Runnable of controller-runtime.
type Server struct {
	config   ServerConfig
	stopping atomic.Bool
}

// NewServer returns a server that can be started once.
func NewServer(config ServerConfig) *Server { return &Server{config: config} }

// NeedLeaderElection returns false: every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx is done, then completes requests in flight.
func (s *Server) Start(ctx context.Context) error {
	if s.config.OnStopped != nil {
		defer s.config.OnStopped()
	}
	if !cache.WaitForCacheSync(ctx.Done(), s.config.SecretsSynced) {
		return nil
	}
	listener, err := s.listen(ctx)
	if err != nil {
		return fmt.Errorf("could not listen for webhooks on %s (--webhook-bind-address, --webhook-port): %w",
			s.config.Address, err)
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

// sharePort lets other sockets of the same user bind the port, for --permit-port-sharing.
func sharePort(_, _ string, conn syscall.RawConn) error {
	var err error
	controlErr := conn.Control(func(socket uintptr) {
		err = unix.SetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(controlErr, err)
}

func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	if s.config.MaxConnections > 0 {
		listener = netutil.LimitListener(listener, s.config.MaxConnections)
	}
	server := s.httpServer(ctx)
	failed := make(chan error, 1)
	if s.config.Certificates == nil {
		klog.InfoS("WARNING: --disable-tls: webhooks, and the secrets in them, are sent over plain HTTP; "+
			"make sure that the network path is trusted",
			"address", listener.Addr().String())
		go func() { failed <- server.Serve(listener) }()
	} else {
		klog.InfoS("Serving webhooks", "address", listener.Addr().String(),
			"minTLSVersion", versionNumber(s.config.TLS.MinVersion),
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

// shutDown serves for ShutdownDelay, then drains and closes the server.
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
		Handler: filters.WithConnectionClose(
			s.config.Rate.limit(s.config.Handler, s.config.MaxWaiting, s.config.OnRateLimited), &s.stopping),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout + responseTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         new(http.Protocols),
		ErrorLog:          log.New(errorLog{}, "", 0),
		// Requests in flight continue when ctx is done.
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

// errorLog redirects the log of net/http to klog. TLS handshake errors have level 2, because clients can cause many.
type errorLog struct{}

// Write logs one line.
func (errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.Contains(text, "TLS handshake error") {
		klog.V(2).InfoS("A connection for webhooks failed", "err", text)
	} else {
		klog.ErrorS(nil, "The webhook server reported an error", "err", text)
	}
	return len(line), nil
}

const (
	// The minimum values of HTTP/2.
	minFrameBytes         = 16 << 10
	minReceiveBufferBytes = 64 << 10
	// maxStreams is how many requests a connection may have in flight. Each may have maxHeaderBytes of headers. Senders
	// send one webhook after the other, or open further connections.
	maxStreams = 4
)

// http2Config keeps the memory of an HTTP/2 connection close to that of HTTP/1.1. By default, net/http buffers up to 1
// MiB of body and the headers of 250 requests before any of our limits applies.
func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              minFrameBytes,
		MaxReceiveBufferPerConnection: minReceiveBufferBytes,
		MaxReceiveBufferPerStream:     minReceiveBufferBytes,
	}
}
