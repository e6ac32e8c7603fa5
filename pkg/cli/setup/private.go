// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// privateFile is a file that only its owner can read. It is written before the cluster has what is in it, so that this
// can't get lost, and gets its name afterwards, so that it never replaces what is still valid.
type privateFile struct {
	path, content string
	// temporary is empty for a pipe or a device, which is written to at the end.
	temporary string
}

// prepareFile writes content to a temporary file next to path.
func prepareFile(path, content string) (*privateFile, error) {
	p := &privateFile{path: path, content: content}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, fmt.Errorf("could not write the file: %s is a directory", path)
		}
		return p, nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".kubectl-postern-") // its mode is 0600
	if err != nil {
		return nil, fmt.Errorf("could not write the file: %w", err)
	}
	p.temporary = file.Name()
	_, err = file.WriteString(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("could not write the file: %w", err), p.discard())
	}
	return p, nil
}

// keep gives the file its name.
func (p *privateFile) keep() error {
	if p == nil {
		return nil
	}
	if p.temporary == "" {
		if err := os.WriteFile(p.path, []byte(p.content), 0o600); err != nil {
			return fmt.Errorf("could not write the file: %w", err)
		}
		return nil
	}
	if err := os.Rename(p.temporary, p.path); err != nil {
		return fmt.Errorf("could not name the file, which is in %s: %w", p.temporary, err)
	}
	return nil
}

// discard removes the file.
func (p *privateFile) discard() error {
	if p == nil || p.temporary == "" {
		return nil
	}
	return os.Remove(p.temporary)
}
