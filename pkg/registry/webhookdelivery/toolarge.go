// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// tooLargeForEtcd is in etcd's answer to a request that is larger than --max-request-bytes, 1.5 MiB by default.
// Source: ErrRequestTooLarge in go.etcd.io/etcd/api, v3rpc/rpctypes/error.go.
const tooLargeForEtcd = "etcdserver: request is too large"

// answerForSize makes of etcd's error that a record is too large one that answers 413: it can never be stored. Other errors
// stay as they are.
func answerForSize(err error) error {
	switch {
	case strings.Contains(err.Error(), tooLargeForEtcd):
	case status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "message larger than max"): // gRPC's own bound
	default:
		return err
	}
	return apierrors.NewRequestEntityTooLargeError("the record of the delivery is larger than the etcd takes: " + err.Error())
}
