// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/pkg/generated/clientset/versioned/scheme"
)

// The formats of results for programs. A command may have others, such as "wide".
const (
	OutputJSON = "json"
	OutputYAML = "yaml"
	OutputName = "name"
	OutputWide = "wide"
)

// Output is the flag --output of a command: how it prints its result. The zero value prints words.
type Output struct {
	Format  string
	formats []string
}

// AddFlag adds the flag to a command, with the formats that it knows.
func (o *Output) AddFlag(command *cobra.Command, formats ...string) {
	o.formats = formats
	command.Flags().StringVarP(&o.Format, "output", "o", "",
		"Output format. One of: ("+strings.Join(formats, ", ")+").")
	_ = command.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// Validate returns an error if the command does not know the format.
func (o *Output) Validate() error {
	if o.Format == "" || slices.Contains(o.formats, o.Format) {
		return nil
	}
	return fmt.Errorf("unable to match a printer suitable for the output format %q, allowed formats are: %s",
		o.Format, strings.Join(o.formats, ","))
}

// Print prints result as JSON, YAML or a name, and reports whether one of these is the format. Otherwise it prints
// nothing. A result that is no object of the API has no name.
func (o *Output) Print(w io.Writer, result any) (printed bool, err error) {
	if object, ok := result.(runtime.Object); ok {
		return o.printObject(w, object)
	}
	var text []byte
	switch o.Format {
	case OutputJSON:
		text, err = json.MarshalIndent(result, "", "    ")
		text = append(text, '\n')
	case OutputYAML:
		text, err = yaml.Marshal(result)
	default:
		return false, nil
	}
	if err == nil {
		_, err = w.Write(text)
	}
	return true, err
}

func (o *Output) printObject(w io.Writer, object runtime.Object) (printed bool, err error) {
	var printer printers.ResourcePrinter
	switch o.Format {
	case OutputJSON:
		printer = &printers.JSONPrinter{}
	case OutputYAML:
		printer = &printers.YAMLPrinter{}
	case OutputName:
		printer = &printers.NamePrinter{ShortOutput: true}
	default:
		return false, nil
	}
	printer = &printers.OmitManagedFieldsPrinter{Delegate: printer}
	return true, printers.NewTypeSetter(scheme.Scheme).ToPrinter(printer).PrintObj(object, w)
}
