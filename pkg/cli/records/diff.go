// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
)

// NewDiffCommand returns the command `diff`.
func NewDiffCommand(f *cli.Factory) *cobra.Command {
	var output cli.Output
	command := &cobra.Command{
		Use:   "diff NAME | KIND/NAME",
		Short: "Show what a delivery changed on its targets, and what they have now",
		Long: `Show what a delivery changed on its targets: each field that held the request, with its value before and
after in the form of a unified diff. If a field has another value now, a line that begins with "!" has it. With a
target, show the delivery that reached it last.

The exit code is 0 if the targets have what the delivery set, or if it set nothing, and 2 if one of them has something
else now.`,
		Example: `  # What did this delivery change?
  kubectl postern diff github-4zv9d

  # The last delivery to an Application
  kubectl postern diff application/shop`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDeliveryOrTarget(f),
		RunE: func(command *cobra.Command, args []string) error {
			return diff(command.Context(), f, &output, args[0])
		},
	}
	output.AddFlag(command, cli.OutputJSON, cli.OutputYAML)
	return command
}

func diff(ctx context.Context, f *cli.Factory, output *cli.Output, argument string) error {
	told, err := storyOf(ctx, f, output, argument)
	if err != nil {
		return err
	}
	var text strings.Builder
	differs := writeDiff(&text, told, printers.AllowsColorOutput(f.Out))
	if printed, err := output.Print(f.Out, changesOf(told)); err != nil {
		return err
	} else if !printed {
		if _, err := io.WriteString(f.Out, text.String()); err != nil {
			return err
		}
	}
	if text.Len() == 0 {
		_, _ = fmt.Fprintf(f.ErrOut, "%s changed nothing.\n", cli.Printable(told.Delivery.Name))
	}
	if differs {
		return &cli.ExitError{Code: cli.ExitFault}
	}
	return nil
}

// targetChanges is what a delivery changed on a target, for programs.
type targetChanges struct {
	Kind    string         `json:"kind"`
	Name    string         `json:"name"`
	Changes []story.Change `json:"changes"`
	// Problem says why the values now are unknown.
	Problem string `json:"problem,omitempty"`
}

func changesOf(told *story.Story) []targetChanges {
	all := []targetChanges{}
	for i := range told.Targets {
		if t := &told.Targets[i]; len(t.Changes) > 0 {
			all = append(all, targetChanges{string(t.Kind), t.Name, t.Changes, t.Problem})
		}
	}
	return all
}

// The colors of a diff.
const (
	colorHeader  = "\x1b[1m"
	colorField   = "\x1b[36m"
	colorRemoved = "\x1b[31m"
	colorAdded   = "\x1b[32m"
	colorNow     = "\x1b[33m"
	colorEnd     = "\x1b[0m"
)

// writeDiff writes what a delivery changed, and reports whether a target has something else now.
func writeDiff(w *strings.Builder, told *story.Story, colored bool) (differs bool) {
	line := func(color, format string, args ...any) {
		text := cli.Printable(fmt.Sprintf(format, args...))
		if colored {
			text = color + text + colorEnd
		}
		w.WriteString(text + "\n")
	}
	name := told.Delivery.Name
	for i := range told.Targets {
		t := &told.Targets[i]
		if len(t.Changes) == 0 {
			continue
		}
		target := cli.TargetName(t.Kind, t.Name)
		line(colorHeader, "--- %s before %s", target, name)
		line(colorHeader, "+++ %s after %s", target, name)
		for _, c := range t.Changes {
			line(colorField, "@@ %s @@", c.Field)
			if c.Old != "" {
				line(colorRemoved, "-%s", c.Old)
			}
			if c.New != "" {
				line(colorAdded, "+%s", c.New)
			}
			if t.Problem == "" && !c.Held() {
				differs = true
				line(colorNow, "!%s", orNone(c.Now))
			}
		}
		if t.Problem != "" {
			line(colorNow, "! unknown now: %s", t.Problem)
		}
	}
	return differs
}
