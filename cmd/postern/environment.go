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

// explicitSettings tells which settings are not left to their defaults. The zero value knows of none.
type explicitSettings struct {
	flags *pflag.FlagSet
	// envVars are the environment variables that were used, by flag.
	envVars map[string]string
}

// readEnvironment sets the flags that are not given to what their environment variables hold; an empty one is none. The
// error names all variables that can't be used.
//
// It is not done by the defaults of flags, which --help prints: some of these are secrets.
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
			value = strings.ToLower(value) // True, as YAML and others have it
		}
		if err := flag.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q, which --%s can't be: %w", setting.Env, value, setting.Flag, rootCause(err)))
			continue
		}
		g.envVars[setting.Flag] = setting.Env
	}
	return g, errors.Join(errs...)
}

// rootCause is what is wrong with a value, without the value.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// name is how a setting was given: by its flag or by a variable.
func (g explicitSettings) name(flag string) string {
	if envVar, found := g.envVars[flag]; found {
		return envVar
	}
	return "--" + flag
}

// explicit returns the names of those of the settings that are given.
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

// addEnvToUsage says of each flag which variable stands in for it.
func addEnvToUsage(sets *cliflag.NamedFlagSets) {
	for _, setting := range receiver.Settings() {
		for _, set := range sets.FlagSets {
			if flag := set.Lookup(setting.Flag); flag != nil && setting.Env != "" {
				flag.Usage += fmt.Sprintf(" Or by the environment: %s.", setting.Env)
			}
		}
	}
}
