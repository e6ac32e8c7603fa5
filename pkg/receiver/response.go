// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/klog/v2"
)

// errorResponse is every error, whatever its code.
type errorResponse struct {
	Error string `json:"error"`
}

// writeError answers with an error, and Retry-After if it tells when to try again.
func writeError(w http.ResponseWriter, err error) {
	status := responsewriters.ErrorToAPIStatus(err)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	writeJSON(w, int(status.Code), errorResponse{status.Message})
}

// writeJSON answers with a line of JSON, in which nothing is escaped that need not be.
func writeJSON(w http.ResponseWriter, code int, response any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(response); err != nil {
		klog.ErrorS(err, "Could not encode an answer")
		code, body = http.StatusInternalServerError, *bytes.NewBufferString(`{"error":"the answer could not be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if _, err := w.Write(body.Bytes()); err != nil {
		klog.V(2).InfoS("Could not send an answer", "err", err)
	}
}

func methodNotAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	writeJSON(w, http.StatusMethodNotAllowed, errorResponse{"this path takes " + allowed + " alone"})
}

func serveNotFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, errorResponse{
		"there is nothing at this path: POST a webhook to /webhook/NAMESPACE/NAME for one GatewaySync, or to /webhook?type=TYPE for whatever wants what was pushed"})
}

// forbidden is the answer to a sender that has proved itself, but not where webhooks may act.
func forbidden(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	}}
}
