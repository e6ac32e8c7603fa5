// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// runner runs steps in bash.
type runner struct {
	// dir is the working directory. It must not have anything that a page creates.
	dir string
	// env is the whole environment.
	env []string
}

// transcript is the file with the output of all steps, and the offset at which each begins.
type transcript struct {
	file    *os.File
	offsets []int64
}

// run runs the steps in one shell. The error has the step that failed or printed other output, and its output.
func (r runner) run(ctx context.Context, steps []step) (err error) {
	file, err := os.Create(filepath.Join(r.dir, ".transcript"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	t := &transcript{file: file}

	announced, announce, err := os.Pipe()
	if err != nil {
		return err
	}
	defer announced.Close()
	proceed, allow, err := os.Pipe()
	if err != nil {
		return errors.Join(err, announce.Close())
	}
	defer allow.Close()

	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", bash(steps))
	cmd.Dir, cmd.Env = r.dir, r.env
	cmd.Stdout, cmd.Stderr = file, file
	cmd.ExtraFiles = []*os.File{announce, proceed} // descriptors 3 and 4
	err = cmd.Start()
	// Bash has inherited them; our copies would keep the pipes open.
	if closeErr := errors.Join(announce.Close(), proceed.Close()); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("could not start bash: %w", err)
	}
	watchErr := t.watch(announced, allow, steps)
	if watchErr != nil {
		_ = cmd.Process.Kill()
	}
	err = cmd.Wait()
	switch last := len(t.offsets) - 1; {
	case watchErr != nil:
		return watchErr
	case last < 0 && err != nil:
		return fmt.Errorf("could not run bash: %w", err)
	case last < 0:
		return nil
	case err != nil:
		return t.failure(steps[last], last, err)
	default:
		return t.check(steps[last], last)
	}
}

// watch starts one step after the other, and compares the output of the previous one.
func (t *transcript) watch(announced io.Reader, allow io.Writer, steps []step) error {
	for lines := bufio.NewScanner(announced); lines.Scan(); {
		next, err := strconv.Atoi(lines.Text())
		if err != nil || next != len(t.offsets) {
			return fmt.Errorf("step %q was announced after %d steps", lines.Text(), len(t.offsets))
		}
		// Bash writes to the file directly, so all previous output is in it.
		end, err := t.file.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		t.offsets = append(t.offsets, end)
		if next > 0 {
			if err := t.check(steps[next-1], next-1); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(allow, "\n"); err != nil {
			return err
		}
	}
	return nil
}

// printed returns the output of a step.
func (t *transcript) printed(index int) (string, error) {
	all, err := os.ReadFile(t.file.Name())
	if err != nil {
		return "", err
	}
	end := int64(len(all))
	if index+1 < len(t.offsets) {
		end = t.offsets[index+1]
	}
	return string(all[t.offsets[index]:end]), nil
}

func (t *transcript) check(s step, index int) error {
	if s.shows == nil {
		return nil
	}
	printed, err := t.printed(index)
	if err != nil {
		return err
	}
	if err := compareOutput(s.shows.text, printed); err != nil {
		return fmt.Errorf("line %d: %w", s.shows.line, err)
	}
	return nil
}

func (t *transcript) failure(s step, index int, cause error) error {
	printed, err := t.printed(index)
	if err != nil {
		return err
	}
	return fmt.Errorf("line %d: %w\n%s\nprinted:\n%s", s.line, cause, strings.TrimSpace(s.script),
		lastOf(strings.TrimSpace(printed)))
}

// lastOf shortens a failure report: kubectl's usage errors can be very long.
func lastOf(text string) string {
	const limit = 4 << 10
	if len(text) <= limit {
		return text
	}
	return "…" + strings.ToValidUTF8(text[len(text)-limit:], "")
}
