// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"net/textproto"
	"os"
	"path/filepath"
	"testing"
)

// request is a sender's request: a body with its headers.
type request struct {
	body   string
	header map[string]string
}

func (r request) with(header map[string]string) request {
	all := maps.Clone(r.header)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, header)
	return request{body: r.body, header: all}
}

// payload returns a sender's request from the golden files of package payload, such as github/push-branch.json.
func payload(t *testing.T, name string) request {
	t.Helper()
	file := filepath.Join("..", "..", "pkg", "payload", "testdata", name)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return request{body: string(body), header: readHeaders(t, file[:len(file)-len(filepath.Ext(file))]+".headers")}
}

// readHeaders returns nil if there is no such file.
func readHeaders(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(text, "\r\n\r\n"...)))).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{}
	for name := range parsed {
		header[name] = parsed.Get(name)
	}
	return header
}
