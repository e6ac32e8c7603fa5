// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const checkout = "../.."

// tool runs a program of a user in a directory and returns its standard output.
func tool(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	output, message, err := try(t, dir, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, message)
	}
	return output
}

// refused runs a program that must fail with a message.
func refused(t *testing.T, want, dir, program string, args ...string) {
	t.Helper()
	output, message, err := try(t, dir, program, args...)
	if err == nil {
		t.Errorf("%s %s did not fail: %s", program, strings.Join(args, " "), output)
	} else if !strings.Contains(output+message, want) {
		t.Errorf("%s %s failed with\n%s\nwant %q", program, strings.Join(args, " "), output+message, want)
	}
}

func try(t *testing.T, dir, program string, args ...string) (output, message string, err error) {
	t.Helper()
	if strings.Contains(program, "/") {
		program = absolute(t, program)
	}
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "HOME="+t.TempDir(), "COSIGN_PASSWORD=") // of the keys
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	return string(stdout), stderr.String(), err
}

// absolute returns the absolute path of a file of the checkout.
func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(checkout, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sha256Hex(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func parseJSON(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// statement is an in-toto statement.
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	Predicate json.RawMessage `json:"predicate"`
}

// parseStatement returns the last statement that cosign has printed in envelopes, one a line.
func parseStatement(t *testing.T, output string) statement {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(output), "\n")
	var envelope struct {
		Payload string `json:"payload"`
	}
	parseJSON(t, lines[len(lines)-1], &envelope)
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var s statement
	parseJSON(t, string(payload), &s)
	return s
}
