// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestSteps_ShowNumberNameAndTime(t *testing.T) {
	var out strings.Builder
	s := newSteps(&out, 10, false)
	failure := errors.New("no")
	if err := s.run("Begin", func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := s.run("End", func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got the error %v, want that of the step", err)
	}
	want := regexp.MustCompile(`^\[ 1/10\] Begin\.\.\. [0-9.]+m?s\n\[ 2/10\] End\.\.\. failed after [0-9.]+m?s\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("got %q, want %s", out.String(), want)
	}
}
