// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "errors"

// JSON is any JSON value, kept as it was written.
type JSON struct {
	// Raw is the JSON text of the value.
	Raw []byte `json:"-"`
}

// OpenAPISchemaType returns no type, which in OpenAPI means any value.
func (JSON) OpenAPISchemaType() []string { return nil }

// OpenAPISchemaFormat returns no format.
func (JSON) OpenAPISchemaFormat() string { return "" }

// MarshalJSON returns the value as it was written, and null for none.
func (j JSON) MarshalJSON() ([]byte, error) {
	if len(j.Raw) == 0 {
		return []byte("null"), nil
	}
	return j.Raw, nil
}

// UnmarshalJSON keeps a copy of the value; null is no value.
func (j *JSON) UnmarshalJSON(data []byte) error {
	if j == nil {
		return errors.New("could not unmarshal JSON into nil")
	}
	j.Raw = nil
	if string(data) != "null" {
		j.Raw = append(j.Raw, data...)
	}
	return nil
}
