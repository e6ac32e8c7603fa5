// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/pkg/registry/deliver"
)

const (
	// maxObjectParts bounds the names and values of an object beside its payload: "{}" in a list of the object's becomes a
	// struct of hundreds of bytes, several times. A delivery that a client writes has far fewer.
	maxObjectParts = 1024

	// maxOptionsBytes bounds the body of a request that deletes.
	maxOptionsBytes = 64 << 10
)

type extractedPayloadKey struct{}

// withObjectLimit reads the body of each request for our API group that does not go to a delivery endpoint, and refuses
// what holds more than a client writes. It takes the payload out of a delivery, so that the framework sees {} in its place:
// it would make maps of the whole, to tell who owns its fields, and so allocate up to 200 times its size. restorePayload puts it
// back. It belongs inside of the budget.
func withObjectLimit(next http.Handler, maxObjectBytes int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		limit := int64(0)
		if ok && info.APIGroup == postern.GroupName && info.Subresource == "" && req.ContentLength != 0 {
			switch info.Verb {
			case "create":
				limit = maxObjectBytes
			case "delete", "deletecollection":
				limit = maxOptionsBytes
			}
		}
		if limit == 0 { // there is no body, or the verb is refused before anything reads it
			next.ServeHTTP(w, req)
			return
		}
		bounded, err := limitObject(w, req, limit)
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		next.ServeHTTP(w, bounded)
	})
}

// limitObject returns the request with a body that has no payload and is known to be small enough.
func limitObject(w http.ResponseWriter, req *http.Request, limit int64) (*http.Request, error) {
	if !isJSON(req.Header.Get("Content-Type")) {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
			Message: "an object must be sent as JSON, with Content-Type application/json: a few lines of YAML may stand for any amount of it",
		}}
	}
	body, err := deliver.ReadBody(w, req, limit, fmt.Sprintf("the object is over %d bytes", limit))
	if err != nil {
		return nil, err
	}
	extracted, rest, err := payload.ExtractValue(body, maxObjectParts, "spec", "payload")
	if err != nil {
		return nil, apierrors.NewBadRequest("the object is refused: " + err.Error())
	}
	bounded := req.WithContext(context.WithValue(req.Context(), extractedPayloadKey{}, extracted))
	bounded.Body, bounded.ContentLength = io.NopCloser(bytes.NewReader(rest)), int64(len(rest))
	return bounded, nil
}

// isJSON reports whether the framework takes what has that Content-Type for JSON.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType[:min(len(contentType), 256)])
	return err == nil && mediaType == runtime.ContentTypeJSON
}

// restorePayload gives a delivery back the payload that was taken out of it.
func restorePayload(ctx context.Context, delivery *postern.WebhookDelivery) {
	if extracted, ok := ctx.Value(extractedPayloadKey{}).([]byte); ok && extracted != nil && delivery.Spec.Payload != nil {
		delivery.Spec.Payload.Raw = extracted
	}
}
