// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"encoding/json"
	"fmt"
	"os"
)

// pidRecord identifies a process by PID and executable: after the program has ended, the PID may belong to another
// program, which must not be signaled.
type pidRecord struct {
	PID        int    `json:"pid"`
	Executable string `json:"executable"`
}

func readPIDFile(path string) (pidRecord, error) {
	var record pidRecord
	data, err := os.ReadFile(path)
	if err != nil {
		return record, err
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return record, fmt.Errorf("could not parse %s: %w", path, err)
	}
	return record, nil
}

func (r pidRecord) write(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// alive reports whether the process still runs the recorded executable.
func (r pidRecord) alive() bool {
	if r.PID <= 0 || r.Executable == "" {
		return false
	}
	executable, err := executableOf(r.PID)
	return err == nil && executable == r.Executable
}
