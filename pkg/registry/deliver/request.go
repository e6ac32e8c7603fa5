// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// maxDrainBytes bounds how much of an oversized body is read and discarded. A client that is still sending when the
// connection closes may not receive the response.
const maxDrainBytes = 32 << 20

// FirstBytes is how many bytes of a body are read before memory for the rest is acquired. Most webhooks are not larger,
// and a client that announces a large body and sends nothing uses no memory.
const FirstBytes = 64 << 10

// PayloadTooLargeMessage returns the message of the response to a payload of more than limit bytes.
func PayloadTooLargeMessage(limit int64) string {
	return fmt.Sprintf("the body is over %d bytes, which --max-payload-bytes sets", limit)
}

// ReadBody reads a body of at most limit bytes. A larger body is an error with tooLargeMessage, never truncated: the
// rest would have a wrong signature, and the sender would look for the wrong problem.
func ReadBody(w http.ResponseWriter, req *http.Request, limit int64, tooLargeMessage string) ([]byte, error) {
	if encoding := req.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, apierrors.NewBadRequest("the body is compressed: send it without Content-Encoding")
	}
	original := req.Body
	var body bytes.Buffer
	bounded := http.MaxBytesReader(w, original, limit)
	length := min(req.ContentLength, limit) // a body of known length grows the buffer once after the first bytes
	body.Grow(int(max(0, min(length, FirstBytes))) + bytes.MinRead)
	_, err := io.CopyN(&body, bounded, FirstBytes+1)
	if err == nil {
		body.Grow(int(max(0, length-int64(body.Len()))) + bytes.MinRead)
		_, err = body.ReadFrom(bounded)
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	var tooLarge *http.MaxBytesError
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &tooLarge):
		_, _ = io.CopyN(io.Discard, original, maxDrainBytes)
		return nil, apierrors.NewRequestEntityTooLargeError(tooLargeMessage)
	case errors.As(err, &status):
		return nil, err
	case err != nil:
		return nil, apierrors.NewBadRequest("the body could not be read to its end: " + err.Error())
	}
	return body.Bytes(), nil
}

// refuseListOptions rejects selectors and watches instead of ignoring them.
func refuseListOptions(query url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if name != "pretty" && name != "timeout" {
			return apierrors.NewBadRequest(fmt.Sprintf(
				"this path lists all deliveries of one target or source and does not support %s: to select or watch, "+
					"use webhookdeliveries with a fieldSelector on %s or %s",
				name, v1alpha1.FieldTargetName, v1alpha1.FieldSource))
		}
	}
	return nil
}
