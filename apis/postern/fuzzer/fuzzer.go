// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fuzzer fills deliveries with random values for tests. It must not make values that no server could hold: those
// of a delivery that was decoded and defaulted.
package fuzzer

import (
	"encoding/json"

	runtimeserializer "k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	"postern.dev/postern/apis/postern"
)

// Funcs returns the functions that fill the types of the postern.dev API for which chance alone makes no good value. It
// is a FuzzerFuncs of k8s.io/apimachinery/pkg/api/apitesting/fuzzer.
func Funcs(runtimeserializer.CodecFactory) []any {
	return []any{fillSpec, fillJSON}
}

// fillSpec sees to it that there are events, if only none: an absent list is made an empty one on the way in.
func fillSpec(spec *postern.WebhookDeliverySpec, c randfill.Continue) {
	c.FillNoCustom(spec)
	if spec.Events == nil {
		spec.Events = []postern.DeliveryEvent{}
	}
}

// fillJSON picks one of the kinds of JSON values, but not null, which is no value. The text is as short as it can be:
// encoding drops white space.
func fillJSON(value *postern.JSON, c randfill.Continue) {
	kinds := []any{
		map[string]any{c.String(0): c.String(0), c.String(0): nil},
		[]any{c.String(0), c.Int31(), []any{}},
		c.String(0),
		c.Int31(),
		c.Bool(),
	}
	raw, err := json.Marshal(kinds[c.Intn(len(kinds))])
	if err != nil {
		panic("could not encode plain values as JSON: " + err.Error())
	}
	value.Raw = raw
}
