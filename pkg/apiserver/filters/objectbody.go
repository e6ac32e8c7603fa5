// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

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
	"k8s.io/apimachinery/pkg/types"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/payload"
)

const (
	// maxObjectParts bounds the names and values of an object besides its payload: each "{}" in a list becomes a struct
	// of hundreds of bytes, several times. Deliveries written by clients have far fewer.
	maxObjectParts = 1024

	// maxOptionsBytes bounds the body of a delete request.
	maxOptionsBytes = 64 << 10
)

type extractedPayloadKey struct{}

// WithObjectLimit reads and bounds the body of each request for our API group except at the delivery endpoints. It
// replaces the payload of a delivery with {} for the framework, which would otherwise decode it into maps to track
// field owners and allocate up to 200 times its size. RestorePayload undoes that. It must be inside the payload budget.
func WithObjectLimit(next http.Handler, maxObjectBytes int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		limit := int64(0)
		if ok && info.APIGroup == postern.GroupName && info.Subresource == "" && req.ContentLength != 0 {
			switch info.Verb {
			case "create", "update", "patch":
				limit = maxObjectBytes
			case "delete", "deletecollection":
				limit = maxOptionsBytes
			}
		}
		if limit == 0 { // no body, or the verb is rejected before the body is read
			next.ServeHTTP(w, req)
			return
		}
		bounded, err := limitObject(w, req, limit)
		if err != nil {
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, bounded)
	})
}

// limitObject returns the request with a bounded body without the payload.
func limitObject(w http.ResponseWriter, req *http.Request, limit int64) (*http.Request, error) {
	mediaType := mediaTypeOf(req.Header.Get("Content-Type"))
	if req.Method != http.MethodPatch && mediaType != runtime.ContentTypeJSON {
		return nil, errNotJSON
	}
	body, err := ReadBody(w, req, limit, fmt.Sprintf("the object is over %d bytes", limit))
	if err != nil {
		return nil, err
	}
	if mediaType == string(types.ApplyYAMLPatchType) && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return nil, errNotJSON
	}
	extracted, rest, err := payload.ExtractValue(body, maxObjectParts, "spec", "payload")
	if err != nil {
		return nil, apierrors.NewBadRequest("the object is refused: " + err.Error())
	}
	bounded := req.WithContext(context.WithValue(req.Context(), extractedPayloadKey{}, extracted))
	bounded.Body, bounded.ContentLength = io.NopCloser(bytes.NewReader(rest)), int64(len(rest))
	return bounded, nil
}

var errNotJSON = apierror.New(http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
	"an object must be sent as JSON, with Content-Type application/json or of a patch: a few lines of YAML can "+
		"expand to any size")

// mediaTypeOf returns the media type as which the framework decodes a body, or "" if the Content-Type is invalid.
func mediaTypeOf(contentType string) string {
	if contentType == "" {
		return runtime.ContentTypeJSON
	}
	mediaType, _, err := mime.ParseMediaType(contentType[:min(len(contentType), 256)])
	if err != nil {
		return ""
	}
	return mediaType
}

// RestorePayload restores the payload extracted by WithObjectLimit.
func RestorePayload(ctx context.Context, delivery *postern.WebhookDelivery) {
	if extracted, ok := ctx.Value(extractedPayloadKey{}).([]byte); ok && extracted != nil &&
		delivery.Spec.Payload != nil {
		delivery.Spec.Payload.Raw = extracted
	}
}
