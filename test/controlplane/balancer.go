// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// backendDialTimeout is ample on loopback.
const backendDialTimeout = time.Second

// balancer is a TCP load balancer that behaves like a Service: it sends each new connection to the next ready backend
// and leaves existing connections alone.
type balancer struct {
	listener net.Listener
	backends []*backend
	stop     context.CancelFunc
	work     sync.WaitGroup
	next     atomic.Uint32

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// backend is one server behind the balancer.
type backend struct {
	address string // https://host:port
	ready   atomic.Bool
}

// startBalancer returns once the balancer listens. The balancer probes the backends itself.
func (c *ControlPlane) startBalancer(ctx context.Context, port *port, addresses []string) (*balancer, error) {
	listener, err := port.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("could not start a load balancer: %w", err)
	}
	return newBalancer(listener, addresses, newReadiness()), nil
}

func newBalancer(listener net.Listener, addresses []string,
	ready func(ctx context.Context, address string) bool) *balancer {
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{listener: listener, stop: cancel, open: map[net.Conn]struct{}{}}
	for _, address := range addresses {
		one := &backend{address: address}
		b.backends = append(b.backends, one)
		b.work.Go(func() { one.watch(ctx, ready) })
	}
	b.work.Go(b.accept)
	return b
}

// uses reports whether the backend gets new connections.
func (b *balancer) uses(address string) bool {
	for _, one := range b.backends {
		if one.address == address {
			return one.ready.Load()
		}
	}
	return false
}

func (b *balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return // closed
		}
		if !b.track(client) {
			return
		}
		b.work.Go(func() {
			defer b.drop(client)
			b.proxy(client)
		})
	}
}

// proxy copies in both directions until both sides have finished.
func (b *balancer) proxy(client net.Conn) {
	server, err := b.dial()
	if err != nil || !b.track(server) {
		return
	}
	defer b.drop(server)
	var oneWay sync.WaitGroup
	oneWay.Go(func() { pass(server, client) })
	pass(client, server)
	oneWay.Wait()
}

// pass copies from one side to the other and then closes the other for writing.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // on an error both sides see the end of their connection
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// dial connects to the next ready backend, or to the one after it if the first is gone.
func (b *balancer) dial() (net.Conn, error) {
	first := int(b.next.Add(1))
	err := errors.New("no backend is ready")
	for i := range b.backends {
		one := b.backends[(first+i)%len(b.backends)]
		if !one.ready.Load() {
			continue
		}
		conn, dialErr := net.DialTimeout("tcp", strings.TrimPrefix(one.address, "https://"), backendDialTimeout)
		if dialErr == nil {
			return conn, nil
		}
		err = errors.Join(err, dialErr)
	}
	return nil, err
}

// track records a connection for close. After close it closes the connection and returns false.
func (b *balancer) track(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = conn.Close()
		return false
	}
	b.open[conn] = struct{}{}
	return true
}

func (b *balancer) drop(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, conn)
	_ = conn.Close()
}

// close ends the balancer and all its connections.
func (b *balancer) close() error {
	b.stop()
	err := b.listener.Close()
	b.mu.Lock()
	b.closed = true
	for conn := range b.open {
		_ = conn.Close()
	}
	b.mu.Unlock()
	b.work.Wait()
	return err
}
