// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"postern.dev/postern/pkg/credential"
)

// Instructions are what to enter at a sender.
type Instructions struct {
	// Sender is the name of the sender.
	Sender string `json:"sender"`
	Source string `json:"source,omitempty"`
	URL    string `json:"url"`
	// Where is the place of the form at the sender.
	Where string `json:"where,omitempty"`
	// Method is how the sender authenticates, as in status.methods of a WebhookSource.
	Method string  `json:"method,omitempty"`
	Fields []Field `json:"fields"`
	// SecretKey is the key of the Secret that has the webhook secret, if the method uses one.
	SecretKey string `json:"secretKey,omitempty"`
	// Certificate says how the sender can trust the certificate of the kube-apiserver.
	Certificate string `json:"certificate"`
	// Notes are what else to mind.
	Notes []string `json:"notes,omitempty"`
	// Commands grant the permission, and provide the secret or the token.
	Commands []string `json:"commands,omitempty"`
	// Page is the documentation of the sender.
	Page string `json:"page"`
}

// Field is one field of the form of a sender. In its value $SECRET is the webhook secret, and $TOKEN the token of a
// ServiceAccount.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (i *Instructions) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Enter at %s", i.Sender)
	if i.Where != "" {
		fmt.Fprintf(&b, ", in %s", i.Where)
	}
	b.WriteString(":\n\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, field := range i.Fields {
		fmt.Fprintf(table, "  %s\t%s\n", field.Name, field.Value)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range i.explanations() {
		b.WriteString("\n" + line + "\n")
	}
	if len(i.Commands) > 0 {
		b.WriteString("\nIf it is not set up here yet:\n\n  " + strings.Join(i.Commands, "\n  ") + "\n")
	}
	b.WriteString("\nMore: " + i.Page + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// explanations say what stands for the placeholders, and what else to mind.
func (i *Instructions) explanations() []string {
	var lines []string
	uses := func(placeholder string) bool {
		return slices.ContainsFunc(i.Fields, func(f Field) bool { return strings.Contains(f.Value, placeholder) })
	}
	if uses("$SECRET") {
		lines = append(lines, "$SECRET is the webhook secret, under the key "+i.SecretKey+" of the Secret "+
			credential.SecretName+".")
	}
	if uses("$TOKEN") {
		lines = append(lines, "$TOKEN is the token of a ServiceAccount.")
	}
	lines = append(lines, "Certificate: "+i.Certificate+".")
	for _, note := range i.Notes {
		lines = append(lines, "Note: "+note+".")
	}
	return lines
}
