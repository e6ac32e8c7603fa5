// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "errors"

// JSON is any JSON value, kept as it was received.
type JSON struct {
	// Raw is the JSON text of the value.
	Raw []byte `json:"-"`
}

// OpenAPISchemaType returns nil: OpenAPI allows any value for a schema without a type.
func (JSON) OpenAPISchemaType() []string { return nil }

// OpenAPISchemaFormat returns "", no format.
func (JSON) OpenAPISchemaFormat() string { return "" }

// MarshalJSON returns the value unchanged, or null if it is empty.
func (j JSON) MarshalJSON() ([]byte, error) {
	if len(j.Raw) == 0 {
		return []byte("null"), nil
	}
	return j.Raw, nil
}

// UnmarshalJSON stores a copy of the value; null makes it empty.
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
