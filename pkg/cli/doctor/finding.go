// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out why a webhook does not do what it should: it walks the way from the sender to the target,
// with the permissions of the user who asks.
package doctor

import (
	"context"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// Level is how good or bad a finding is.
type Level string

const (
	// OK means that this part of the way works.
	OK Level = "OK"
	// Note means that this part works, and that the user may want to know how.
	Note Level = "Note"
	// Warning means that this part works now, or may not be needed.
	Warning Level = "Warning"
	// Fault means that no delivery gets past this part.
	Fault Level = "Fault"
	// Unknown means that the user may not read what would tell.
	Unknown Level = "Unknown"
)

// Finding is what was found at one part of the way.
type Finding struct {
	// Step is the part of the way, as one CamelCase word for programs.
	Step  string `json:"step"`
	Level Level  `json:"level"`
	// Message says in one sentence what is right or wrong. It never has a secret.
	Message string `json:"message"`
	// Command mends a fault, or finds out more. It can be pasted into a shell as it is, unless the rest depends on what
	// the user wants; then it has a word in capital letters. Empty if there is none.
	Command string `json:"command,omitempty"`
}

// Question is what to look at. The zero value looks at what all deliveries to a namespace need.
type Question struct {
	// Target is the target that should have been written. Nil: no target.
	Target *v1alpha1.TargetReference
	// Source is the type of sender. Empty: no sender.
	Source string
	// User is the user or ServiceAccount (system:serviceaccount:NAMESPACE:NAME) that sends. Empty: any, or anonymous.
	User string
	// Try is a git ref, or an image with a tag, for which a dry run of a delivery to the target is made. A dry run
	// changes nothing, but the audit logs have it. Empty: none; then only requests that read are sent.
	Try string
}

// steps are the parts of the way, in its order.
var steps = []struct {
	name    string
	examine func(*examiner, context.Context)
}{
	{"APIService", (*examiner).examineAPIService},
	{"Certificate", (*examiner).examineCertificate},
	{"API", (*examiner).examineAPI},
	{"Namespace", (*examiner).examineNamespace},
	{"Source", (*examiner).examineSource},
	{"Permission", (*examiner).examinePermission},
	{"AnonymousAccess", (*examiner).examineAnonymousAccess},
	{"Secret", (*examiner).examineSecret},
	{"Credentials", (*examiner).examineCredentials},
	{"Refusals", (*examiner).examineRefusals},
	{"Policies", (*examiner).examinePolicies},
	{"Target", (*examiner).examineTarget},
	{"Configuration", (*examiner).examineConfiguration},
	{"PosternPermissions", (*examiner).examinePosternPermissions},
	{"Order", (*examiner).examineOrder},
	{"DryRun", (*examiner).examineDryRun},
	{"Deliveries", (*examiner).examineDeliveries},
	{"Controller", (*examiner).examineController},
}

// stepTimeout bounds each step, so that a part that does not answer does not hide the next ones.
const stepTimeout = 15 * time.Second

// Examine answers question in order of the way from the sender to the target. It calls found with each finding once it
// is known. Faults are findings, not errors; an error means that it could not look.
func Examine(ctx context.Context, cluster *cli.Cluster, question Question, found func(Finding)) error {
	e, err := newExaminer(cluster, question, found)
	if err != nil {
		return err
	}
	if err := e.reach(ctx); err != nil {
		return err
	}
	for _, step := range steps {
		e.step = step.name
		e.within(ctx, step.examine)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
