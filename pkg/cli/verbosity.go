// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// maxVerbosity is the highest level at which clients of Kubernetes log no bodies of requests and answers. These may
// have webhook secrets and tokens.
const maxVerbosity = 7

// AddVerbosityFlag adds kubectl's flag -v, which logs requests to errOut. Levels above maxVerbosity are the same as
// that.
func AddVerbosityFlag(flags *pflag.FlagSet, errOut io.Writer) {
	var all flag.FlagSet
	klog.InitFlags(&all)
	flags.VarP(&verbosity{level: all.Lookup("v").Value, out: errOut}, "v", "v",
		fmt.Sprintf("Number for the log level verbosity. Bodies are never logged: levels above %d are the same as it.",
			maxVerbosity))
}

// verbosity is the flag -v of klog with a limit.
type verbosity struct {
	level flag.Value
	out   io.Writer
}

func (v *verbosity) String() string {
	if v.level == nil {
		return "0"
	}
	return v.level.String()
}

// Type returns the type of the flag, for its help text.
func (v *verbosity) Type() string { return "Level" }

func (v *verbosity) Set(text string) error {
	level, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	klog.SetOutput(v.out)
	klog.LogToStderr(false)
	return v.level.Set(strconv.Itoa(min(level, maxVerbosity)))
}
