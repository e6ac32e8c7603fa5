// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const values = `# A license.

# About all values.

# -- How many,
# at least one | two.
replicas: 1

# About images.
image:
  # -- Which.
  repository: example.com/image
  # -- By default that of the chart.
  tag: ""
# -- All of them.
resources:
  requests: {memory: 1Gi}
`

const wantTable = "| Value | Description | Default |\n" +
	"| --- | --- | --- |\n" +
	"| `replicas` | How many, at least one \\| two. | `1` |\n" +
	"| `image` | About images. | |\n" +
	"| `image.repository` | Which. | `\"example.com/image\"` |\n" +
	"| `image.tag` | By default that of the chart. | `\"\"` |\n" +
	"| `resources` | All of them. | `{\"requests\":{\"memory\":\"1Gi\"}}` |\n"

func TestGenerate_ReplacesOnlyTheTable(t *testing.T) {
	chart := t.TempDir()
	readme := filepath.Join(chart, "README.md")
	for file, content := range map[string]string{
		filepath.Join(chart, "values.yaml"): values,
		readme:                              "# Chart\n\n" + begin + "an old table\n" + end + "\nMore.\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time it changes nothing
		if err := generate(chart); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(readme)
		if err != nil {
			t.Fatal(err)
		}
		if want := "# Chart\n\n" + begin + "\n" + wantTable + "\n" + end + "\nMore.\n"; string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestTableOf_RefusesValuesWithoutDescription(t *testing.T) {
	for _, text := range []string{"port: 1\n", "tls:\n  # The port.\n  port: 1\n", "hosts: {}\n"} {
		if table, err := tableOf([]byte(text)); err == nil || !strings.Contains(err.Error(), "has no comment") {
			t.Errorf("%q: got the error %v and the table\n%s", text, err, table)
		}
	}
}
