// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"postern.dev/postern/pkg/receiver"
)

// given tells which settings are not left to their defaults. The zero value knows of none.
type given struct {
	flags *pflag.FlagSet
	// variables are the environment variables that were used, by flag.
	variables map[string]string
}

// readEnvironment sets the flags that are not given to what their environment variables hold; an empty one is none. The
// error names all variables that can't be used.
//
// It is not done by the defaults of flags, which --help prints: some of these are secrets.
func readEnvironment(flags *pflag.FlagSet, lookup func(string) string) (given, error) {
	g := given{flags: flags, variables: map[string]string{}}
	var errs []error
	for _, setting := range receiver.Settings() {
		flag := flags.Lookup(setting.Flag)
		value := strings.TrimSpace(lookup(setting.Env))
		if flag == nil || flag.Changed || setting.Env == "" || value == "" {
			continue
		}
		if flag.Value.Type() == "bool" {
			value = strings.ToLower(value) // True, as YAML and others have it
		}
		if err := flag.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q, which --%s can't be: %w", setting.Env, value, setting.Flag, reason(err)))
			continue
		}
		g.variables[setting.Flag] = setting.Env
	}
	return g, errors.Join(errs...)
}

// reason is what is wrong with a value, without the value.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// name is how a setting was given: by its flag or by a variable.
func (g given) name(flag string) string {
	if variable, found := g.variables[flag]; found {
		return variable
	}
	return "--" + flag
}

// among returns the names of those of the settings that are given.
func (g given) among(flags ...string) []string {
	var names []string
	for _, flag := range flags {
		_, byVariable := g.variables[flag]
		if byVariable || g.flags != nil && g.flags.Changed(flag) {
			names = append(names, g.name(flag))
		}
	}
	return names
}

// nameVariables says of each flag which variable stands in for it.
func nameVariables(sets *cliflag.NamedFlagSets) {
	for _, setting := range receiver.Settings() {
		for _, set := range sets.FlagSets {
			if flag := set.Lookup(setting.Flag); flag != nil && setting.Env != "" {
				flag.Usage += fmt.Sprintf(" Or by the environment: %s.", setting.Env)
			}
		}
	}
}
