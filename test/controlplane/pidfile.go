// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"encoding/json"
	"fmt"
	"os"
)

// pidRecord says which process a program became, and of which executable: a number alone may be given to a stranger
// once the program has ended, and a stranger must not be signalled.
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

// alive tells whether the process still runs the executable that the record names.
func (r pidRecord) alive() bool {
	if r.PID <= 0 || r.Executable == "" {
		return false
	}
	executable, err := executableOf(r.PID)
	return err == nil && executable == r.Executable
}
