// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apierror"
)

// errorResponse is the body of every error response.
type errorResponse struct {
	Error string `json:"error"`
}

// writeError writes an error response, with Retry-After if err has a delay.
func writeError(w http.ResponseWriter, err error) {
	status := responsewriters.ErrorToAPIStatus(err)
	apierror.SetRetryAfter(w.Header(), status)
	writeJSON(w, int(status.Code), errorResponse{status.Message})
}

// writeJSON writes a response as one line of JSON without HTML escaping.
func writeJSON(w http.ResponseWriter, code int, response any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(response); err != nil {
		klog.ErrorS(err, "Could not encode a response")
		code, body = http.StatusInternalServerError,
			*bytes.NewBufferString(`{"error":"the response could not be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if _, err := w.Write(body.Bytes()); err != nil {
		klog.V(2).InfoS("Could not send a response", "err", err)
	}
}

func methodNotAllowed(w http.ResponseWriter, allowed string) {
	w.Header().Set("Allow", allowed)
	writeJSON(w, http.StatusMethodNotAllowed, errorResponse{"this path accepts only " + allowed})
}

func serveNotFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, errorResponse{
		"no such path: POST a webhook to /webhook/NAMESPACE/NAME for one GatewaySync, or to /webhook?type=TYPE for " +
			"all targets that follow the pushed image or ref"})
}

// forbidden returns a 403 for an authenticated sender that is not allowed to deliver to the namespace.
func forbidden(message string) error {
	return apierror.New(http.StatusForbidden, metav1.StatusReasonForbidden, message)
}
