// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

const registryConfig = `
version: 0.1
storage: {inmemory: {}}
http: {addr: "127.0.0.1:0", secret: test}
`

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// startRegistry runs a registry until the test ends, and returns its host and port.
func startRegistry(t *testing.T) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, config, registryConfig)
	command := exec.CommandContext(t.Context(), checkout+"/bin/senders/registry", "serve", config)
	command.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if match := listening.FindStringSubmatch(lines.Text()); match != nil && len(found) == 0 {
				found <- match[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
		_ = command.Wait()
	})
	select {
	case host := <-found:
		return host
	case <-ended:
		t.Fatal("the registry ended before it listened")
		return ""
	}
}
