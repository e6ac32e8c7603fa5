// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// startHTTP2Server starts a server with HTTP/2.
func startHTTP2Server(t *testing.T, handler http.Handler) *testServer {
	t.Helper()
	options := pairFiles(t)
	options.HTTP2 = true
	certificates, err := LoadCertificates(options)
	if err != nil {
		t.Fatal(err)
	}
	return startServer(t, ServerConfig{TLS: options, Certificates: certificates, Handler: handler})
}

// A client can make the server buffer as much as its settings allow.
func TestAConnectionOfHTTP2MayHoldLittleThatNothingReads(t *testing.T) {
	server := startHTTP2Server(t, nil)
	conn, err := tls.Dial("tcp", server.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WritePing(false, [8]byte{}); err != nil {
		t.Fatal(err)
	}
	type bounds struct{ Streams, Frame, Stream, Connection uint32 }
	const defaultWindow = 1<<16 - 1 // RFC 9113, section 6.9.2
	got := bounds{Connection: defaultWindow}
	for pinged := false; !pinged; { // the server sends its settings before it responds
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if frame.IsAck() {
				continue
			}
			got.Streams, _ = frame.Value(http2.SettingMaxConcurrentStreams)
			got.Frame, _ = frame.Value(http2.SettingMaxFrameSize)
			got.Stream, _ = frame.Value(http2.SettingInitialWindowSize)
		case *http2.WindowUpdateFrame:
			got.Connection += frame.Increment
		case *http2.PingFrame:
			pinged = true
		}
	}
	want := bounds{Streams: 4, Frame: 16 << 10, Stream: 64 << 10, Connection: defaultWindow}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALargeBodyArrivesOverHTTP2(t *testing.T) {
	const size = 1 << 20
	server := startHTTP2Server(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Proto", req.Proto)
		w.Header().Set("X-Size", strconv.Itoa(len(body)))
	}))
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post("https://"+server.address, "application/json",
		bytes.NewReader(make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if proto, got := resp.Header.Get("X-Proto"), resp.Header.Get("X-Size"); proto != "HTTP/2.0" ||
		got != strconv.Itoa(size) {
		t.Errorf("%s bytes arrived over %s", got, proto)
	}
}
