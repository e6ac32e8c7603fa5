// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fuzzer fills deliveries with random values for tests. It makes only values that a decoded and defaulted
// delivery can have.
package fuzzer

import (
	"encoding/json"

	runtimeserializer "k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	"postern.dev/postern/apis/postern"
)

// Funcs returns fill functions for the types of the postern.dev API whose values can't be fully random. It is a
// FuzzerFuncs of k8s.io/apimachinery/pkg/api/apitesting/fuzzer.
func Funcs(runtimeserializer.CodecFactory) []any {
	return []any{fillSpec, fillJSON}
}

// fillSpec makes Events non-nil, as defaulting does.
func fillSpec(spec *postern.WebhookDeliverySpec, c randfill.Continue) {
	c.FillNoCustom(spec)
	if spec.Events == nil {
		spec.Events = []postern.DeliveryEvent{}
	}
}

// fillJSON sets a JSON value of a random kind other than null, which decodes as absent. The text is compact because
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
		panic("could not encode the value as JSON: " + err.Error())
	}
	value.Raw = raw
}
