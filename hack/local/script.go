// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

type script struct{ out io.Writer }

func (s script) say(text string) {
	fmt.Fprintln(s.out, text)
}

// line prints requests, responses and values, indented to set them off from the explanations.
func (s script) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(s.out, "    %s\n", strings.ReplaceAll(text, "\n", "\n    "))
}

// kubectl runs kubectl as the administrator, in the namespace, and prints the call and its output.
func (p *demoRun) kubectl(ctx context.Context, args ...string) (string, error) {
	p.line("$ kubectl %s --namespace %s", strings.Join(args, " "), namespace)
	out, err := p.cluster.Kubectl(ctx, "", append(args, "--namespace="+namespace)...)
	if err == nil {
		p.line("%s", strings.TrimSpace(out))
	}
	return out, err
}
