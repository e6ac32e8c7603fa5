// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

// Advise adds to a redacted answer the command of the kubectl plugin that tells people more, where its own message does
// not suffice: senders show answers to the people who set them up. asked is the delivery as the request describes it.
// The commands repeat what an accepted request named, and the name of the record, so they disclose nothing. It must not
// be called if the request named no namespace. Advise does not change its arguments.
func Advise(asked, answer *postern.WebhookDelivery, err error) (*postern.WebhookDelivery, error) {
	if answer != nil && answer.Name != "" {
		if err != nil {
			return answer, withAdvice(err, ": "+whyCommand(answer), http.StatusNotFound, http.StatusInternalServerError)
		}
		if strings.HasSuffix(answer.Status.Message, recordSaysWhy) {
			advised := *answer
			advised.Status.Message += ": " + whyCommand(answer)
			answer = &advised
		}
		return answer, nil
	}
	err = withAdvice(err, doctorAnywhere, http.StatusUnauthorized)
	return answer, withAdvice(err, "; "+doctorCommand(asked)+" examines it", http.StatusNotFound,
		http.StatusInternalServerError)
}

// doctorAnywhere is the advice to a sender that was not accepted. It is the same for every target and namespace.
const doctorAnywhere = "; kubectl postern doctor KIND/NAME --source TYPE examines it"

// withAdvice returns an error with more text if it is an answer with one of the codes.
func withAdvice(err error, advice string, codes ...int32) error {
	var status apierrors.APIStatus
	if err == nil || !errors.As(err, &status) || !slices.Contains(codes, status.Status().Code) {
		return err
	}
	advised := status.Status()
	advised.Message += advice
	return &apierrors.StatusError{ErrStatus: advised}
}

// Warning returns a warning for the client that created a delivery as an object, and sees nothing of its status; empty
// if the delivery was applied or is pending, or if its payload requests nothing by itself.
func Warning(record *postern.WebhookDelivery) string {
	switch phase := record.Status.Phase; {
	case phase == postern.DeliveryApplied, phase == postern.DeliveryPending,
		payload.IsIgnoredReason(record.Status.Reason):
		return ""
	default:
		return fmt.Sprintf("the delivery is %s (%s): %s", phase, record.Status.Reason, whyCommand(record))
	}
}

func whyCommand(record *postern.WebhookDelivery) string {
	return "kubectl postern why " + record.Name + " -n " + record.Namespace
}

// doctorCommand omits a name that no object can have: the command is pasted into a shell.
func doctorCommand(asked *postern.WebhookDelivery) string {
	command := "kubectl postern doctor"
	if t := asked.Spec.Target; t != nil && len(validation.IsDNS1123Subdomain(t.Name)) == 0 {
		command += " " + strings.ToLower(string(t.Kind)) + "/" + t.Name
	}
	if len(validation.IsDNS1123Label(asked.Namespace)) == 0 {
		command += " -n " + asked.Namespace
	}
	if _, known := payload.Lookup(asked.Spec.Source); known {
		command += " --source " + asked.Spec.Source
	}
	return command
}
