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

// explicitSettings are the settings that do not have their default. The zero value has none.
type explicitSettings struct {
	flags *pflag.FlagSet
	// envVars are the environment variables that were used, by flag name.
	envVars map[string]string
}

// readEnvironment sets flags that are not given from their environment variables; an empty variable is ignored. The
// error names all variables with invalid values.
//
// The variables are not the defaults of the flags, because --help prints defaults and some variables are secrets.
func readEnvironment(flags *pflag.FlagSet, lookup func(string) string) (explicitSettings, error) {
	g := explicitSettings{flags: flags, envVars: map[string]string{}}
	var errs []error
	for _, setting := range receiver.Settings() {
		flag := flags.Lookup(setting.Flag)
		value := strings.TrimSpace(lookup(setting.Env))
		if flag == nil || flag.Changed || setting.Env == "" || value == "" {
			continue
		}
		if flag.Value.Type() == "bool" {
			value = strings.ToLower(value) // YAML allows True
		}
		if err := flag.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q, which is not valid for --%s: %w", setting.Env, value,
				setting.Flag, rootCause(err)))
			continue
		}
		g.envVars[setting.Flag] = setting.Env
	}
	return g, errors.Join(errs...)
}

// rootCause returns the innermost error, which does not include the value.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// name returns the environment variable that set a flag, or the flag itself.
func (g explicitSettings) name(flag string) string {
	if envVar, found := g.envVars[flag]; found {
		return envVar
	}
	return "--" + flag
}

// explicit returns the names of the given settings among flags.
func (g explicitSettings) explicit(flags ...string) []string {
	var names []string
	for _, flag := range flags {
		_, fromEnv := g.envVars[flag]
		if fromEnv || g.flags != nil && g.flags.Changed(flag) {
			names = append(names, g.name(flag))
		}
	}
	return names
}

// addEnvToUsage appends the environment variable to the usage of each flag that has one.
func addEnvToUsage(sets *cliflag.NamedFlagSets) {
	for _, setting := range receiver.Settings() {
		for _, set := range sets.FlagSets {
			if flag := set.Lookup(setting.Flag); flag != nil && setting.Env != "" {
				flag.Usage += fmt.Sprintf(" Environment variable: %s.", setting.Env)
			}
		}
	}
}
