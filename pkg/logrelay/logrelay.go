// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package logrelay relays what the program writes to its standard output and error through bounded buffers. A reader
// that stalls, such as a container runtime that was stopped, then blocks no goroutine that logs. It covers every
// writer: klog in all formats, the audit log at standard output, and net/http. It must not log itself while a buffer is
// full.
package logrelay

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

const (
	// maxWaiting bounds the bytes of lines that wait for the reader, and maxLine each line; longer ones are passed on
	// in parts.
	maxWaiting = 1 << 20
	maxLine    = 64 << 10
	// closeTimeout bounds how long the end of the program waits for the reader.
	closeTimeout = 2 * time.Second
)

// Relays are the relays of standard output and error.
type Relays struct {
	relays []*relay
	closed sync.Once
}

// Start replaces os.Stdout and os.Stderr. It makes klog.Fatal, which dependencies call, wait until its reason is passed
// on. Call it before other goroutines use them.
func Start() (*Relays, error) {
	all := &Relays{}
	for _, file := range []**os.File{&os.Stdout, &os.Stderr} {
		r, err := newRelay(*file)
		if err != nil {
			all.Close()
			return nil, err
		}
		r.replaced, *file = file, r.pipe
		all.relays = append(all.relays, r)
	}
	klog.OsExit = func(code int) {
		all.Close()
		os.Exit(code)
	}
	return all, nil
}

// Close restores os.Stdout and os.Stderr, and passes on what is buffered, unless the reader stalls. Call it when other
// goroutines no longer use them, or right before the program exits. It is idempotent, and safe for concurrent use.
func (a *Relays) Close() {
	a.closed.Do(func() {
		for _, r := range a.relays {
			*r.replaced = r.out
			r.close(closeTimeout)
		}
	})
}

// relay passes on lines from a pipe to a file whose writes may block.
type relay struct {
	replaced **os.File
	// pipe is the end that the program writes to.
	pipe *os.File
	out  *os.File

	mu sync.Mutex
	// changed is signaled when lines wait, and at the end.
	changed *sync.Cond
	// waiting has the lines for the next write, and writing how many bytes the current write has.
	waiting []byte
	writing int
	ended   bool
	// dropped counts the lines that were dropped since the last write.
	dropped int64
	// written is closed when all lines are written.
	written chan struct{}
}

// newRelay returns a relay to out and starts its goroutines, which end after close.
func newRelay(out *os.File) (*relay, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("could not create a pipe for the log: %w", err)
	}
	r := &relay{pipe: writer, out: out, written: make(chan struct{})}
	r.changed = sync.NewCond(&r.mu)
	go r.read(reader)
	go r.write()
	return r, nil
}

// read empties the pipe until its other end is closed, and drops lines if the reader of the log stalls.
func (r *relay) read(pipe *os.File) {
	defer pipe.Close()
	defer r.end()
	lines := bufio.NewReaderSize(pipe, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		r.add(line)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (r *relay) add(line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting)+r.writing+len(line) > maxWaiting {
		r.dropped++
		linesDropped.Inc()
		return
	}
	r.waiting = append(r.waiting, line...)
	r.changed.Signal()
}

func (r *relay) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.changed.Signal()
}

// write writes what waits, until the end. It drops what can't be written.
func (r *relay) write() {
	defer close(r.written)
	var lines []byte
	for {
		var dropped int64
		var more bool
		lines, dropped, more = r.next(lines[:0])
		_, _ = r.out.Write(lines) // there is nowhere to report an error
		if dropped > 0 {
			klog.ErrorS(nil, "Dropped lines of the log, because its reader stalled", "lines", dropped)
		}
		if !more {
			return
		}
	}
}

// next waits for lines. It returns them, and takes over an empty buffer; dropped is how many lines were dropped since
// the last call. There are no more lines after the end.
func (r *relay) next(empty []byte) (lines []byte, dropped int64, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = 0
	for len(r.waiting) == 0 && !r.ended {
		r.changed.Wait()
	}
	lines, r.waiting = r.waiting, empty
	dropped, r.dropped = r.dropped, 0
	r.writing = len(lines)
	return lines, dropped, !r.ended || len(lines) > 0
}

// close passes on what is buffered, within timeout.
func (r *relay) close(timeout time.Duration) {
	_ = r.pipe.Close()
	select {
	case <-r.written:
	case <-time.After(timeout):
	}
}
