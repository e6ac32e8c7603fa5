// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apimachinery/pkg/util/version"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"

	"postern.dev/postern/pkg/pattern"
)

const (
	// maxCost bounds the evaluation of one expression, in the units of CEL: some milliseconds. Conditions on claims
	// cost some tens.
	maxCost = 10_000
	// maxPatternSize bounds regular expressions, in instructions. matchCost is what to match a byte by the largest
	// costs.
	maxPatternSize, matchCost = 200, 20
	// maxLoops bounds the loops of an expression: the type of what is built in loops has a depth of its own for each.
	maxLoops = 8
)

// costs are what calls cost when they are evaluated. CEL takes matches for much cheaper than it can be, and counts only
// the values of a list, not those of the lists in it.
type costs struct{ library.CostEstimator }

// CallCost returns the cost of a call; nil is the default of CEL.
func (c *costs) CallCost(function, overloadID string, args []ref.Val, result ref.Val) *uint64 {
	if function == "matches" && len(args) > 0 {
		if text, isString := args[0].Value().(string); isString {
			return new(uint64(len(text)+1) * matchCost)
		}
	}
	var size uint64
	switch function {
	case operators.Equals, operators.NotEquals:
		size = sizeOf(args[0]) + sizeOf(args[1])
	case operators.In, operators.Add: // the list, and what is added to one
		size = sizeOf(args[1])
	}
	if size > 1 {
		return &size
	}
	return c.CostEstimator.CallCost(function, overloadID, args, result)
}

// sizeOf returns the number of values in a list or map, and in those in it; 0 for another value.
func sizeOf(value ref.Val) (size uint64) {
	switch v := value.(type) {
	case *types.Optional:
		if v.HasValue() {
			return sizeOf(v.GetValue())
		}
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True; {
			size += 1 + sizeOf(it.Next())
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			size += 1 + sizeOf(v.Get(it.Next()))
		}
	}
	return size
}

// functions are the functions and macros that expressions may call, besides operators. CEL has others whose result can
// be much larger than its estimated cost, such as replace and join; and macros that repeat what they are called on, a
// chain of which takes forever to compile, such as optMap.
var functions = map[string]bool{
	"all": true, "bool": true, "contains": true, "double": true, "duration": true, "dyn": true, "endsWith": true,
	"exists": true, "exists_one": true, "filter": true, "getDate": true, "getDayOfWeek": true, "getHours": true,
	"has": true, "hasValue": true, "int": true, "lowerAscii": true, "map": true, "matches": true, "orValue": true,
	"size": true, "split": true, "startsWith": true, "string": true, "substring": true, "timestamp": true, "trim": true,
	"type": true, "uint": true, "upperAscii": true, "value": true,
}

// compiler compiles the expressions of the kube-apiserver's AuthenticationConfiguration within bounds.
type compiler struct {
	authenticationcel.Compiler

	namespace string
	parser    *cel.Env
}

// newCompiler returns a compiler, which is expensive. The result is for no namespace yet.
func newCompiler() (compiler, error) {
	base, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(
		environment.VersionedOptions{
			IntroducedVersion: version.MajorMinor(1, 0),
			ProgramOptions:    []cel.ProgramOption{cel.CostLimit(maxCost), cel.CostTracking(&costs{})},
		})
	if err != nil {
		return compiler{}, fmt.Errorf("could not bound the cost of CEL expressions: %w", err)
	}
	parser, err := cel.NewEnv(cel.OptionalTypes(), cel.ClearMacros()) // macros are checked before they are expanded
	if err != nil {
		return compiler{}, fmt.Errorf("could not create a parser of CEL expressions: %w", err)
	}
	return compiler{Compiler: authenticationcel.NewCompiler(base), parser: parser}, nil
}

// CompileClaimsExpression compiles an expression of claims.
func (c compiler) CompileClaimsExpression(
	e authenticationcel.ExpressionAccessor,
) (authenticationcel.CompilationResult, error) {
	if err := c.check(e.GetExpression()); err != nil {
		return authenticationcel.CompilationResult{}, err
	}
	return c.Compiler.CompileClaimsExpression(e)
}

// CompileUserExpression compiles an expression of the user.
func (c compiler) CompileUserExpression(
	e authenticationcel.ExpressionAccessor,
) (authenticationcel.CompilationResult, error) {
	if err := c.check(e.GetExpression()); err != nil {
		return authenticationcel.CompilationResult{}, err
	}
	return c.Compiler.CompileUserExpression(e)
}

// check returns an error for an expression that may take too much when it is compiled or evaluated. What can't be
// parsed is left to the compilation.
func (c compiler) check(expression string) error {
	parsed, issues := c.parser.Parse(expression)
	if issues.Err() != nil {
		return nil //nolint:nilerr // the compilation reports it
	}
	var problem error
	loops := 0
	celast.PreOrderVisit(parsed.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		switch {
		case problem != nil:
		case e.Kind() == celast.CallKind:
			problem = c.checkCall(e.AsCall())
			if isLoop(e.AsCall()) {
				loops++
			}
		case repeats(e):
			problem = errors.New("a list or map of several values may have only texts, numbers and the like in it")
		}
	}))
	if problem == nil && loops > maxLoops {
		problem = fmt.Errorf("an expression may call %s %d times", strings.Join(loopMacros, ", "), maxLoops)
	}
	if problem != nil {
		return &apiservercel.Error{Type: apiservercel.ErrorTypeInvalid, Detail: problem.Error()}
	}
	return nil
}

// loopMacros are the macros whose argument is evaluated for each value of a list or map.
var loopMacros = []string{"all", "exists", "exists_one", "filter", "map"}

func isLoop(call celast.CallExpr) bool { return slices.Contains(loopMacros, call.FunctionName()) }

// repeats reports whether an expression puts several values together that are not constant. Of lists that have another
// one twice, each is twice as expensive to compare.
func repeats(e celast.Expr) bool {
	var values []celast.Expr
	switch e.Kind() { //nolint:exhaustive // others have no values
	case celast.ListKind:
		values = e.AsList().Elements()
	case celast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			values = append(values, entry.AsMapEntry().Value())
		}
	case celast.StructKind:
		for _, field := range e.AsStruct().Fields() {
			values = append(values, field.AsStructField().Value())
		}
	}
	isVariable := func(e celast.Expr) bool { return e.Kind() != celast.LiteralKind }
	return len(values) > 1 && slices.ContainsFunc(values, isVariable)
}

func (c compiler) checkCall(call celast.CallExpr) error {
	name := call.FunctionName()
	if name == "" || !unicode.IsLetter(rune(name[0])) {
		return nil // an operator
	}
	if !functions[name] {
		return fmt.Errorf("the function %s is not supported here; supported are %s", name,
			strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
	}
	if name != "matches" || len(call.Args()) == 0 {
		return nil
	}
	// A regular expression of a few bytes can compile to many megabytes.
	last := call.Args()[len(call.Args())-1]
	if last.Kind() == celast.LiteralKind {
		if text, isString := last.AsLiteral().Value().(string); isString {
			compiled, err := pattern.Regexp(c.namespace, text)
			if err == nil && compiled.Cost(0) > maxPatternSize {
				err = fmt.Errorf("the regular expression of matches is too large: it compiles to more than %d "+
					"instructions", maxPatternSize)
			}
			return err
		}
	}
	return errors.New("the regular expression of matches must be a text in quotes")
}
