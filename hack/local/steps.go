// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// steps shows how far a command is, and how long each step takes. In a terminal the time of the current step advances.
type steps struct {
	out         io.Writer
	done, total int
	// verbose is set if the steps themselves print to out. Then names are titles.
	verbose bool
	// advances is set if the time of the current step is shown.
	advances bool
}

func newSteps(out io.Writer, total int, verbose bool) *steps {
	return &steps{out: out, total: total, verbose: verbose, advances: isTerminal(out) && !verbose}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// tick is how often the time of a step is shown.
const tick = time.Second

// run runs a step, and shows its name, and then what it took.
func (s *steps) run(name string, step func() error) error {
	s.done++
	title := fmt.Sprintf("[%*d/%d] %s...", len(fmt.Sprint(s.total)), s.done, s.total, name)
	if s.verbose {
		title = fmt.Sprintf("\n=== [%d/%d] %s ===\n", s.done, s.total, name)
	}
	fmt.Fprint(s.out, title)
	started := time.Now()
	stop := s.showTime(title, started)
	err := step()
	stop()
	outcome := ""
	if err != nil {
		outcome = "failed after "
	}
	fmt.Fprintf(s.out, " %s%s\n", outcome, time.Since(started).Round(time.Second/10))
	return err
}

// showTime rewrites the line of a step in a terminal, until stop is called.
func (s *steps) showTime(title string, started time.Time) (stop func()) {
	if !s.advances {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				fmt.Fprintf(s.out, "\r\x1b[K%s", title)
				return
			case <-ticker.C:
				fmt.Fprintf(s.out, "\r\x1b[K%s %s", title, time.Since(started).Round(time.Second))
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
