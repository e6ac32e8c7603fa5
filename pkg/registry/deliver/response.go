// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"net/http"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/klog/v2"
)

// writeResponse writes an object or an error as JSON, whatever the client says that it accepts: the framework's responder
// would negotiate now, after all is done, and turn a delivery that was carried out into a 406.
func writeResponse(w http.ResponseWriter, encoder runtime.Encoder, code int, obj runtime.Object, err error) {
	var body bytes.Buffer
	if err == nil {
		err = encoder.Encode(obj, &body)
	}
	if err != nil {
		WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(code)
	if _, err := w.Write(body.Bytes()); err != nil {
		klog.V(2).InfoS("Could not send an answer", "err", err)
	}
}

// WriteError answers with an error as a metav1.Status in JSON, and Retry-After if the error tells when to try again.
func WriteError(w http.ResponseWriter, err error) {
	status := responsewriters.ErrorToAPIStatus(err)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	responsewriters.WriteRawJSON(int(status.Code), status, w)
}
