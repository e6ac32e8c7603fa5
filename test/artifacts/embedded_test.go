// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deliver.sh into the files that contain it")

// embedding are the files that contain deliver.sh.
var embedding = []string{"../../artifacts/deliver/gitlab.yaml", "../../artifacts/deliver/job.yaml"}

// A job of GitLab CI and of Kubernetes contains the script, since it has no file of this repository.
func TestDeliver_IsEmbedded(t *testing.T) {
	text := string(read(t, deliverScript))
	// The first is how GitLab writes inputs, the second becomes one dollar in the command of a container.
	for _, special := range []string{"$[[", "$$", "\t", endOfScript} {
		if strings.Contains(text, special) {
			t.Errorf("the script contains %q, which others replace", special)
		}
	}
	for _, path := range embedding {
		before := string(read(t, path))
		after := embed(t, path, before, text)
		if *update {
			if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if before != after {
			t.Errorf(`%s has another script: run "go test ./test/artifacts -update"`, path)
		}
	}
}

// endOfScript is the line after the script, if it is in the middle of a text.
const endOfScript = "END_OF_SCRIPT"

// embed replaces the script in the text of a file, which begins with its first line and ends with the first line that
// is endOfScript, or has a smaller indentation.
func embed(t *testing.T, path, content, text string) string {
	t.Helper()
	const first = "#!/bin/sh\n"
	at := strings.Index(content, first)
	if at < 0 {
		t.Fatalf("%s has no script", path)
	}
	start := strings.LastIndexByte(content[:at], '\n') + 1
	indentation, end := content[start:at], start
	for line := range strings.Lines(content[start:]) {
		if inner, found := strings.CutPrefix(line, indentation); line != "\n" && (!found || inner == endOfScript+"\n") {
			break
		}
		end += len(line)
	}
	var script strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			script.WriteString(indentation)
		}
		script.WriteString(line)
	}
	return content[:start] + script.String() + content[end:]
}
