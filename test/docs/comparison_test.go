// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// testLink matches a link to a test, whose name is the title.
	testLink = regexp.MustCompile(`\[[a-z0-9]+\]\(([^\s)]+) "((?:Test|Fuzz)\w+)"\)`)
	// ownCell matches what the comparison says of Postern: each word is held by a test.
	ownCell = regexp.MustCompile(`^\[(?:yes|partly)\]\([^\s)]+ "\w+"\)(?: \[\d\]\([^\s)]+ "\w+"\))*(?:: .+)?$`)
	// othersCell matches what it says of others, with where that can be read; "partly" with what is meant.
	othersCell = regexp.MustCompile(`^(?:no|–|\[yes\]\(https://[^\s)]+\)(?:: .+)?|\[partly\]\(https://[^\s)]+\): .+)$`)
)

func TestComparison_LinksToTests(t *testing.T) {
	root := repository(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "comparison.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := comparisonRows(string(text))
	if len(rows) < 50 {
		t.Errorf("there are %d rows, want those of all tables", len(rows))
	}
	for _, row := range rows {
		for _, err := range checkComparison(filepath.Join(root, "docs"), row) {
			t.Errorf("%s: %v", row[0], err)
		}
	}
}

// comparisonRows returns the cells of each row of the tables that have a column for Postern.
func comparisonRows(text string) (rows [][]string) {
	inTable := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "| | Postern |"):
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && !strings.HasPrefix(line, "| --- |"):
			cells := strings.Split(strings.Trim(line, "|"), " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// checkComparison returns what is wrong with a row of a page in a directory.
func checkComparison(dir string, row []string) (errs []error) {
	const columns = 10
	if len(row) != columns {
		return []error{fmt.Errorf("it has %d cells, want %d", len(row), columns)}
	}
	if !ownCell.MatchString(row[1]) {
		errs = append(errs, fmt.Errorf("no test holds %q", row[1]))
	}
	for _, match := range testLink.FindAllStringSubmatch(row[1], -1) {
		source, err := os.ReadFile(filepath.Join(dir, match[1]))
		if err != nil {
			errs = append(errs, err)
		} else if !strings.Contains(string(source), "\nfunc "+match[2]+"(") {
			errs = append(errs, fmt.Errorf("%s has no %s", match[1], match[2]))
		}
	}
	for _, cell := range row[2:] {
		if !othersCell.MatchString(cell) {
			errs = append(errs, fmt.Errorf("%q is neither no, nor yes or partly with a link", cell))
		}
	}
	return errs
}

func TestComparison_WrongRowsAreFound(t *testing.T) {
	dir := t.TempDir()
	source := "package a\n\nfunc TestA(t *testing.T) {\n"
	if err := os.WriteFile(filepath.Join(dir, "a_test.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	others := strings.Repeat(" | no", 8)
	for row, want := range map[string]int{
		`| a | [yes](a_test.go "TestA")` + others + " |":                     0,
		`| a | [partly](a_test.go "TestA"): by hand` + others + " |":         0,
		`| a | [yes](a_test.go "TestA") [2](a_test.go "TestB")` + others:     1,
		`| a | [yes](b_test.go "TestA")` + others + " |":                     1,
		"| a | yes" + others + " |":                                          1,
		"| a | [yes](a_test.go)" + others + " |":                             1,
		"| a | no" + others + " |":                                           1,
		`| a | [yes](a_test.go "TestA") | no |`:                              1,
		`| a | [yes](a_test.go "TestA")` + strings.Repeat(" | yes", 8) + "|": 8,
	} {
		rows := comparisonRows("| | Postern | X |\n| --- | --- |\n" + row + "\n\n| b | c |\n")
		if len(rows) != 1 {
			t.Errorf("%s: got the rows %q, want one", row, rows)
			continue
		}
		if got := checkComparison(dir, rows[0]); len(got) != want {
			t.Errorf("%s: got %v, want %d errors", row, got, want)
		}
	}
	if diff := cmp.Diff([][]string(nil), comparisonRows("| a | b |\n| --- | --- |\n| c | d |\n")); diff != "" {
		t.Errorf("a table without Postern (-want +got):\n%s", diff)
	}
}
