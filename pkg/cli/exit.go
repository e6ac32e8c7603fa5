// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import "fmt"

// Exit codes of the commands.
const (
	// ExitOK: the command did what was asked, and found nothing wrong.
	ExitOK = 0
	// ExitFailed: the command could not do what was asked.
	ExitFailed = 1
	// ExitFault: the command did what was asked, and found a fault, or a delivery that was not applied.
	ExitFault = 2
)

// More exit codes of the command send, which are those of artifacts/deliver/deliver.sh. A delivery that was refused is
// an ExitFault.
const (
	// ExitIgnored: the delivery requested nothing of any target.
	ExitIgnored = iota + 3
	// ExitSuperseded: a newer delivery was applied, or is being applied.
	ExitSuperseded
	// ExitNotWritten: the target can't be written until the cause is fixed.
	ExitNotWritten
	// ExitHeld: the target is held.
	ExitHeld
	// ExitPending: the outcome is not known yet.
	ExitPending
)

// ExitError ends a command with a code. The command has already printed why.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }
