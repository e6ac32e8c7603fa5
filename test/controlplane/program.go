// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"os"
	"path/filepath"
)

// ProgramOptions describe a program that runs next to the control plane, such as a consumer of Postern's writes.
type ProgramOptions struct {
	// Name is unique in the control plane. The log is named after it.
	Name string
	// Path of the executable; if it is relative, below the checkout.
	Path string
	Args []string
	// Env has NAME=value pairs. PATH is inherited, and HOME is the state directory, unless Env has them.
	Env []string
}

// Program is a program that runs next to the control plane. Stop it before the control plane. Its methods are not safe
// for concurrent use unless documented.
type Program struct {
	process *process
}

// StartProgram runs a program and returns at once; callers wait for its effects.
func (c *ControlPlane) StartProgram(o ProgramOptions) (*Program, error) {
	path := o.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.repository, path)
	}
	p := c.newProcess(o.Name, path, o.Args)
	p.env = append(p.env, o.Env...)
	if err := p.start(); err != nil {
		return nil, err
	}
	return &Program{process: p}, nil
}

// Start runs the program again after Stop or Kill.
func (p *Program) Start() error { return p.process.start() }

// Stop ends the program gracefully and returns when it is gone.
func (p *Program) Stop(ctx context.Context) error { return p.process.stop(ctx) }

// Kill ends the program with SIGKILL and returns when it is gone.
func (p *Program) Kill() error { return p.process.kill() }

// Running reports whether the program is alive. It is safe for concurrent use with itself.
func (p *Program) Running() bool { return p.process.running() }

// Log returns the program's output. Restarts append to it.
func (p *Program) Log() (string, error) {
	log, err := os.ReadFile(p.process.logFile())
	return string(log), err
}

// LogTail returns the last lines of the output, for failure reports.
func (p *Program) LogTail() string { return p.process.logTail() }

// PID returns the process ID, 0 if the program was stopped.
func (p *Program) PID() int { return p.process.record.PID }
