// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/apierror"
)

// writeResponse writes an object or an error as JSON and ignores the Accept header: the framework's responder would
// negotiate after the delivery was executed and could answer it with a 406.
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
		klog.V(2).InfoS("Could not send a response", "err", err)
	}
}

// WriteError writes an error as a metav1.Status in JSON, with Retry-After if the error has a delay.
func WriteError(w http.ResponseWriter, err error) {
	status := responsewriters.ErrorToAPIStatus(err)
	apierror.SetRetryAfter(w.Header(), status)
	responsewriters.WriteRawJSON(int(status.Code), status, w)
}
