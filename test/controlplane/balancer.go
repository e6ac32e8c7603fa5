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

// backendDialTimeout is plenty on loopback.
const backendDialTimeout = time.Second

// balancer is a load balancer for TCP, as a Service is one: it gives each new connection to the next backend that is
// ready, and leaves connections alone that exist already.
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

// backend is where connections go.
type backend struct {
	address string // https://host:port
	ready   atomic.Bool
}

// startBalancer returns once the balancer listens; it finds out which backends are ready by itself.
func (c *ControlPlane) startBalancer(ctx context.Context, port *port, addresses []string) (*balancer, error) {
	listener, err := port.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("could not start a load balancer: %w", err)
	}
	return newBalancer(listener, addresses, newReadiness()), nil
}

func newBalancer(listener net.Listener, addresses []string, ready func(ctx context.Context, address string) bool) *balancer {
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

// uses tells whether new connections are given to a backend.
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

// proxy copies both ways until both sides have said all.
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

// pass copies what one side says to the other, and then tells the other that there is no more.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // whoever broke off, both sides get to know by the end of their connection
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// dial connects to the next backend that is ready, or the one after that if that has gone just now.
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

// track remembers a connection so that close can end it. After close it ends the connection itself, and says false.
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
