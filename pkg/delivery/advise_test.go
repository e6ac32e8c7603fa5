// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/payload"
)

func TestAdvise_NamesNextCommand(t *testing.T) {
	asked := func(name string) *postern.WebhookDelivery {
		return &postern.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo"},
			Spec: postern.WebhookDeliverySpec{
				Source: "github", Target: &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: name},
			},
		}
	}
	record := func(message string) *postern.WebhookDelivery {
		d := asked("plant")
		d.Name, d.Status.Message = "github-4zv9d", message
		return d
	}
	answer := func(code int32) error { return apierror.New(code, metav1.StatusReasonUnknown, "message") }
	const doctor = "; kubectl postern doctor gatewaysync/plant -n demo --source github examines it"
	const why = ": kubectl postern why github-4zv9d -n demo"
	for name, tt := range map[string]struct {
		asked, answer *postern.WebhookDelivery
		err           error
		want          string
	}{
		"401":             {asked("plant"), nil, answer(http.StatusUnauthorized), "message" + doctorAnywhere},
		"no target":       {asked("plant"), nil, answer(http.StatusNotFound), "message" + doctor},
		"failed":          {asked("plant"), nil, answer(http.StatusInternalServerError), "message" + doctor},
		"failed, record":  {asked("plant"), record(""), answer(http.StatusInternalServerError), "message" + why},
		"gone, record":    {asked("plant"), record(""), answer(http.StatusNotFound), "message" + why},
		"policy":          {asked("plant"), nil, answer(http.StatusForbidden), "message"},
		"bad request":     {asked("plant"), nil, answer(http.StatusBadRequest), "message"},
		"overload":        {asked("plant"), nil, answer(http.StatusTooManyRequests), "message"},
		"unavailable":     {asked("plant"), nil, answer(http.StatusServiceUnavailable), "message"},
		"not wanted":      {asked("plant"), record("no; the record says why"), nil, "no; the record says why" + why},
		"another message": {asked("plant"), record("ref already set"), nil, "ref already set"},
		"a name for the shell": {asked("$(reboot)"), nil, answer(http.StatusNotFound),
			"message; kubectl postern doctor -n demo --source github examines it"},
		"nothing known": {&postern.WebhookDelivery{}, nil, answer(http.StatusNotFound),
			"message; kubectl postern doctor examines it"},
		"no answer": {asked("plant"), nil, errors.New("message"), "message"},
	} {
		t.Run(name, func(t *testing.T) {
			before := tt.answer.DeepCopy()
			got, err := Advise(tt.asked, tt.answer, tt.err)
			var text string
			if err != nil {
				text = err.Error()
			} else {
				text = got.Status.Message
			}
			if text != tt.want {
				t.Errorf("got  %q\nwant %q", text, tt.want)
			}
			if code := apierrors.ReasonForError(tt.err); err != nil && apierrors.ReasonForError(err) != code {
				t.Errorf("the reason is %s, was %s", apierrors.ReasonForError(err), code)
			}
			if before != nil && before.Status.Message != tt.answer.Status.Message {
				t.Error("the argument was changed")
			}
		})
	}
}

func TestWarning_OnlyIfNotApplied(t *testing.T) {
	for _, phase := range []postern.DeliveryPhase{
		postern.DeliveryApplied, postern.DeliveryPending, postern.DeliveryIgnored, postern.DeliverySuperseded,
		postern.DeliveryFailed,
	} {
		d := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "pushed"}}
		d.Status.Phase, d.Status.Reason = phase, "NoTarget"
		isFine := phase == postern.DeliveryApplied || phase == postern.DeliveryPending
		got := Warning(d)
		if isFine != (got == "") || !isFine && !strings.HasSuffix(got, ": kubectl postern why pushed -n demo") {
			t.Errorf("%s: %q", phase, got)
		}
	}
	ping := &postern.WebhookDelivery{}
	ping.Status.Phase, ping.Status.Reason = postern.DeliveryIgnored, payload.IgnoredPing
	if got := Warning(ping); got != "" {
		t.Errorf("a ping: %q", got)
	}
}
