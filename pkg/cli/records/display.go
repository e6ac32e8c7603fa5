// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/utils/clock"

	"postern.dev/postern/pkg/cli"
)

// lines prints each delivery as a line when it is recorded or changes.
type lines struct {
	out, errOut io.Writer
	printer     printers.ResourcePrinter
	now         func() time.Time
}

func (l *lines) show(_ *board, changed []row) error {
	if len(changed) == 0 {
		return nil
	}
	return l.printer.PrintObj(tableOf(changed, l.now()), l.out)
}

func (l *lines) interrupted(cause error) {
	_, _ = fmt.Fprintf(l.errOut, "warning: the watch was interrupted, trying again: %s\n", cli.Printable(cause.Error()))
}

const (
	// toTop moves the cursor to the top left. clearLine and clearBelow erase the rest of the line and of the screen.
	toTop, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	// redrawPause bounds how often a busy board is drawn, and refreshPause is how often its ages are.
	redrawPause  = 100 * time.Millisecond
	refreshPause = 5 * time.Second
)

// screen draws the board on a terminal as large as it is.
type screen struct {
	out     io.Writer
	size    func() (width, height int)
	options printers.PrintOptions
	clock   clock.WithTicker
}

// frame returns the board as it fills the terminal, with a note in the last line.
func (s *screen) frame(rows []row, note string) (string, error) {
	width, height := s.size()
	visible := rows[:min(len(rows), max(height-2, 1))]
	drawn, err := s.table(visible)
	if excess := longest(drawn) - width; err == nil && excess > 0 {
		drawn, err = s.table(shortenRefs(visible, excess))
	}
	if err != nil {
		return "", err
	}
	if len(rows) == 0 {
		drawn = []string{"No deliveries yet."}
	}
	drawn = append(drawn, note)
	for i, line := range drawn {
		drawn[i] = cut(line, width) + clearLine
	}
	return toTop + strings.Join(drawn, "\r\n") + clearBelow, nil
}

// table returns the lines of a table.
func (s *screen) table(rows []row) ([]string, error) {
	var table bytes.Buffer
	err := printers.NewTablePrinter(s.options).PrintObj(tableOf(rows, s.clock.Now()), &table)
	return strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n"), err
}

// longest returns the number of characters of the longest text.
func longest(texts []string) int {
	most := 0
	for _, text := range texts {
		most = max(most, utf8.RuneCountInString(text))
	}
	return most
}

const (
	// minRef is how many characters of a ref remain in a narrow terminal.
	minRef = 8
	// ellipsis stands for the others. The printer of tables counts bytes, so it is ASCII.
	ellipsis = "..."
)

// shortenRefs returns rows whose longest refs have fewer characters. The end of a ref, such as a tag, remains.
func shortenRefs(rows []row, excess int) []row {
	refs := make([]string, len(rows))
	for i, r := range rows {
		refs[i] = r.cells[columnRef]
	}
	limit := max(longest(refs)-excess, minRef)
	shortened := slices.Clone(rows)
	for i, ref := range refs {
		if characters := []rune(ref); len(characters) > limit {
			shortened[i].cells = maps.Clone(rows[i].cells)
			shortened[i].cells[columnRef] = ellipsis + string(characters[len(characters)-limit+len(ellipsis):])
		}
	}
	return shortened
}

// cut cuts a line to a width in characters, so that it stays one line of the terminal.
func cut(line string, width int) string {
	characters := []rune(line)
	return string(characters[:min(len(characters), max(width, 1))])
}

// live is a display of a screen. It draws in a goroutine of its own, so that bursts of changes are drawn once.
type live struct {
	frames chan frame
	last   frame
}

// frame is what is to be drawn.
type frame struct {
	rows []row
	note string
}

// newLive returns a display that run draws.
func newLive() *live { return &live{frames: make(chan frame, 1)} }

func (l *live) show(b *board, _ []row) error {
	l.put(frame{rows: slices.Clone(b.rows)})
	return nil
}

func (l *live) interrupted(cause error) {
	l.put(frame{l.last.rows, "The watch was interrupted, trying again: " + cli.Printable(cause.Error())})
}

// put replaces the frame that is to be drawn next. Only one goroutine calls it.
func (l *live) put(f frame) {
	l.last = f
	select {
	case <-l.frames:
	default:
	}
	l.frames <- f
}

// run draws frames until done is closed.
func (l *live) run(s *screen, done <-chan struct{}) error {
	refresh := s.clock.NewTicker(refreshPause)
	defer refresh.Stop()
	var f frame
	for {
		select {
		case <-done:
			_, err := io.WriteString(s.out, "\n")
			return err
		case f = <-l.frames:
		case <-refresh.C():
		}
		drawn, err := s.frame(f.rows, f.note)
		if err == nil {
			_, err = io.WriteString(s.out, drawn)
		}
		if err != nil {
			return err
		}
		pause := s.clock.NewTimer(redrawPause)
		select {
		case <-done:
		case <-pause.C():
		}
		pause.Stop()
	}
}
