// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package app assembles the commands of kubectl-postern.
package app

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/doctor"
	"postern.dev/postern/pkg/cli/records"
	"postern.dev/postern/pkg/cli/send"
	"postern.dev/postern/pkg/cli/setup"
	"postern.dev/postern/pkg/cli/ui"
	"postern.dev/postern/pkg/version"
)

// Run runs the command that args name, until it ends or the process is told to stop, and returns its exit code.
func Run(args []string, streams genericiooptions.IOStreams) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return RunContext(ctx, args, streams)
}

// RunContext is Run until ctx ends.
func RunContext(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	command := newCommand(streams)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return cli.ExitOK
	}
	if exit := (*cli.ExitError)(nil); errors.As(err, &exit) {
		return exit.Code
	}
	_, _ = fmt.Fprintf(streams.ErrOut, "error: %s\n", cli.PrintableText(strings.TrimSpace(err.Error())))
	return cli.ExitFailed
}

// usage is like kubectl's: it leaves out the flags that all commands have.
const usage = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Options:
{{.LocalNonPersistentFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Use "{{.CommandPath}} COMMAND --help" for more information about a command.
{{- end}}

Use "kubectl options" for a list of global command-line options (applies to all commands).
`

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	command := &cobra.Command{
		Use:   "kubectl-postern",
		Short: "Set up, deliver and explain webhooks",
		Long: "Set up, deliver and explain webhooks that reach Postern through the kube-apiserver.\n\n" +
			"Documentation: https://github.com/postern-dev/postern/blob/main/docs/kubectl.md",
		Version:       version.Get().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl postern"},
	}
	command.SetUsageTemplate(usage)
	command.CompletionOptions.DisableDefaultCmd = true // kubectl completes
	command.SetIn(streams.In)
	command.SetOut(streams.Out)
	command.SetErr(streams.ErrOut)

	flags := genericclioptions.NewConfigFlags(true)
	flags.AddFlags(command.PersistentFlags())
	f := &cli.Factory{Flags: flags, IOStreams: streams}
	cli.AddVerbosityFlag(command.PersistentFlags(), streams.ErrOut)
	_ = command.RegisterFlagCompletionFunc("namespace", f.CompleteNamespaces)
	_ = command.RegisterFlagCompletionFunc("context", f.CompleteContexts)
	command.AddCommand(
		setup.NewURLCommand(f),
		setup.NewGrantCommand(f),
		setup.NewSecretCommand(f),
		send.NewCommand(f),
		ui.NewCommand(f),
		doctor.NewCommand(f),
	)
	command.AddCommand(records.NewCommands(f)...)
	explainArguments(command)
	return command
}

// explainArguments lets commands show their usage if the number of arguments is wrong. Of a command with others, it is
// an unknown command that is wrong.
func explainArguments(command *cobra.Command) {
	if accepts := command.Args; accepts != nil && !command.HasSubCommands() {
		command.Args = func(command *cobra.Command, args []string) error {
			if accepts(command, args) == nil {
				return nil
			}
			return fmt.Errorf("the number of arguments is wrong: %d. Usage:\n  %s\nFor examples, use %s --help",
				len(args), command.UseLine(), command.CommandPath())
		}
	}
	for _, child := range command.Commands() {
		explainArguments(child)
	}
}
