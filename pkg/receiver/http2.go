// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import "net/http"

const (
	// The least that HTTP/2 allows.
	minFrameBytes         = 16 << 10
	minReceiveBufferBytes = 64 << 10
	// maxStreams is how many requests a connection may have under way. Each may have headers of maxHeaderBytes, and senders
	// send one webhook after the other; whoever has more to send opens another connection.
	maxStreams = 4
)

// http2Bounds keeps a connection of HTTP/2 from taking much more memory than one of HTTP/1.1. The server of net/http reads
// for a request that waits, for its turn or for room, up to a megabyte of its body, and holds the headers of 250 requests
// whose answers nobody takes: all that before any limit of ours sees it.
func http2Bounds() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReadFrameSize:              minFrameBytes,
		MaxReceiveBufferPerConnection: minReceiveBufferBytes,
		MaxReceiveBufferPerStream:     minReceiveBufferBytes,
	}
}
