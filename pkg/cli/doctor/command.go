// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
)

const long = `Find out why a webhook does not do what it should.

It walks the way from the sender to the target, and says at each step what is right and what is wrong, with the command
that mends it. It has your permissions, and says what you may not read. It reads only, unless you ask for a dry run of a
delivery with --try, which changes nothing, but is in the audit logs. No value of a Secret is read.

Commands that are printed can be pasted into a shell. A word in capital letters is yours to replace.

It exits with 0 if it found no fault, with 2 if it found one, and with 1 if it could not look.`

const examples = `  # Why does GitHub's webhook not reach the GatewaySync plant?
  kubectl postern doctor gatewaysync/plant --source=github -n demo

  # May the ServiceAccount ci deliver to it?
  kubectl postern doctor gatewaysync/plant --sender=system:serviceaccount:demo:ci -n demo

  # Why does the Application shop not get the images that Docker Hub reports?
  kubectl postern doctor application/shop --source=docker.io -n demo

  # What would v1.4.0 do, and would a policy refuse it?
  kubectl postern doctor application/shop --try=v1.4.0 -n demo

  # Is Postern itself in order?
  kubectl postern doctor`

// NewCommand returns the command doctor.
func NewCommand(f *cli.Factory) *cobra.Command {
	var (
		question Question
		output   cli.Output
	)
	command := &cobra.Command{
		Use:               "doctor [KIND/NAME] [--source=TYPE] [--sender=USER] [--try=REF]",
		Short:             "Find out why a webhook does not do what it should",
		Long:              long,
		Example:           examples,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cli.CompleteArgs(f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			if err := output.Validate(); err != nil {
				return err
			}
			if len(args) > 0 {
				reference, err := cli.ParseTarget(args[0])
				if err != nil {
					return err
				}
				question.Target = &reference
			}
			if question.Try != "" && question.Target == nil {
				return errors.New("--try needs a target as KIND/NAME")
			}
			cluster, err := f.Cluster()
			if err != nil {
				return err
			}
			return run(command, cluster, question, &output)
		},
	}
	flags := command.Flags()
	flags.StringVar(&question.Source, "source", "",
		"Type of the sender, such as github. See 'kubectl get webhooksources'.")
	flags.StringVar(&question.User, "sender", "",
		"User name of the sender in the cluster, such as system:serviceaccount:demo:ci. By default, a sender with a "+
			"webhook secret is anonymous.")
	flags.StringVar(&question.Try, "try", "",
		"Git ref, or IMAGE:TAG, for which a dry run of a delivery is made as you.")
	output.AddFlag(command, cli.OutputJSON, cli.OutputYAML)
	_ = command.RegisterFlagCompletionFunc("source", cli.CompleteSources)
	_ = command.RegisterFlagCompletionFunc("sender", cobra.NoFileCompletions)
	_ = command.RegisterFlagCompletionFunc("try", cobra.NoFileCompletions)
	return command
}

// run examines the question, and prints each finding once it is known unless the output is for programs.
func run(command *cobra.Command, cluster *cli.Cluster, question Question, output *cli.Output) error {
	findings := []Finding{}
	out := command.OutOrStdout()
	var failed error
	err := Examine(command.Context(), cluster, question, func(f Finding) {
		findings = append(findings, f)
		if output.Format == "" && failed == nil {
			failed = printFinding(out, f)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	printed, err := output.Print(out, findings)
	if err == nil && !printed {
		_, err = fmt.Fprintf(out, "\n%s\n", summary(findings))
	}
	if err == nil && count(findings, Fault) > 0 {
		err = &cli.ExitError{Code: cli.ExitFault}
	}
	return err
}

// levelNames are the levels in a list. They need neither colors nor more than ASCII.
var levelNames = map[Level]string{OK: "ok", Note: "note", Warning: "WARN", Fault: "FAULT", Unknown: "?"}

const labelWidth = 7

// printFinding prints a finding in a line, and its command indented below.
func printFinding(out io.Writer, f Finding) error {
	_, err := fmt.Fprintf(out, "%-*s%s: %s\n", labelWidth, levelNames[f.Level], f.Step, cli.Printable(f.Message))
	if err == nil && f.Command != "" {
		_, err = fmt.Fprintf(out, "%s%s\n", strings.Repeat(" ", labelWidth), cli.Printable(f.Command))
	}
	return err
}

func count(findings []Finding, level Level) (n int) {
	for _, f := range findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// summary returns what was found in a sentence.
func summary(findings []Finding) string {
	text := fmt.Sprintf("Found %s and %s.", counted(count(findings, Fault), "fault"),
		counted(count(findings, Warning), "warning"))
	if unknown := count(findings, Unknown); unknown > 0 {
		text += fmt.Sprintf(" %s could not be examined.", counted(unknown, "part"))
	}
	return text
}

func counted(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
