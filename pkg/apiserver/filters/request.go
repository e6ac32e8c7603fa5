// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
)

// maxDrainBytes bounds how much of an oversized body is read and discarded. A client that is still sending when the
// connection closes may not receive the response.
const maxDrainBytes = 32 << 20

// firstBytes is how many bytes of a body are read before memory for the rest is acquired. Most webhooks are not larger,
// and a client that announces a large body and sends nothing uses no memory.
const firstBytes = 64 << 10

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
	body.Grow(int(max(0, min(length, firstBytes))) + bytes.MinRead)
	_, err := io.CopyN(&body, bounded, firstBytes+1)
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

type dryRunKey struct{}

// WithDryRun moves dryRun from the query to the context at the delivery endpoints, because the framework rejects it for
// connect requests. It must be inside the filters, which then see the original query.
//
// Source: ConnectResource in k8s.io/apiserver, pkg/endpoints/handlers/rest.go.
func WithDryRun(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		if !query.Has("dryRun") || !isDeliverRequest(req) {
			next.ServeHTTP(w, req)
			return
		}
		cleaned := req.Clone(context.WithValue(req.Context(), dryRunKey{}, query["dryRun"]))
		query.Del("dryRun")
		cleaned.URL.RawQuery = query.Encode()
		next.ServeHTTP(w, cleaned)
	})
}

func isDeliverRequest(req *http.Request) bool {
	info, ok := genericapirequest.RequestInfoFrom(req.Context())
	return ok && (info.Subresource == "webhookdeliveries" || info.Subresource == "redeliver") &&
		req.Method == http.MethodPost
}

// DryRunFrom reports whether the request is a dry run. It accepts the same values as other resources.
func DryRunFrom(ctx context.Context) (bool, error) {
	values, _ := ctx.Value(dryRunKey{}).([]string)
	if len(values) == 0 {
		return false, nil
	}
	if !slices.Equal(values, []string{metav1.DryRunAll}) {
		return false, apierrors.NewBadRequest("dryRun in the query must be given once, as " + metav1.DryRunAll)
	}
	return true, nil
}

// WithoutQuerySecret moves the secret from the query to the context, so that no log, trace, audit event, redirect or
// panic contains it. It must be outside of all handlers that use the URL. A non-empty warning is added to the response.
func WithoutQuerySecret(next http.Handler, warning string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		query, secret, found := credential.CutQuerySecret(req.URL.RawQuery)
		if !found {
			next.ServeHTTP(w, req)
			return
		}
		if header, err := utilnet.NewWarningHeader(299, "-", warning); err == nil && warning != "" {
			w.Header().Add("Warning", header)
		}
		cleaned := req.Clone(delivery.WithQuerySecret(req.Context(), secret))
		cleaned.URL.RawQuery = query
		cleaned.RequestURI = cleaned.URL.RequestURI()
		// The original URL at a proxy, such as the kube-apiserver, including the query.
		cleaned.Header.Del("X-Forwarded-Uri")
		next.ServeHTTP(w, cleaned)
	})
}
