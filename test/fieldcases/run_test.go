// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fieldcases

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/fieldcases/fieldcase"
	"postern.dev/postern/test/testcluster"
)

var webhookDeliveries = v1alpha1.SchemeGroupVersion.WithResource("webhookdeliveries")

// Senders that need no object in a case.
const (
	defaultSender = "ci"
	anonymous     = "anonymous"
)

// runner runs one case in its namespace.
type runner struct {
	*testcluster.Sandbox
	suite   *suite
	objects *objects
	// tokens are the tokens of ServiceAccounts by name; that of the anonymous sender is empty.
	tokens map[string]string
	// delivered are the names of recorded deliveries by the names of their steps.
	delivered map[string]string
}

func (s *suite) run(t *testing.T, file string) {
	box := s.NewSandbox(t)
	c, err := fieldcase.Read(file, box.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{
		Sandbox: box, suite: s, objects: newObjects(s, box), tokens: map[string]string{},
		delivered: map[string]string{},
	}
	for _, manifest := range c.Objects {
		if manifest["kind"] == "MutatingAdmissionPolicy" {
			s.RequireMutatingPolicies(t)
		}
		r.objects.create(manifest)
	}
	r.authorize(c)
	s.fence.await(t)
	for i, step := range c.Steps {
		r.report(fmt.Sprintf("step %d, %q", i+1, step.Name), r.execute(&step))
	}
	r.report("finally", r.await(func() []string { return r.checkState(c.Finally, nil) }))
	if t.Failed() {
		t.Logf("%s: %s\nexpected: %s", file, strings.TrimSpace(c.Situation), strings.TrimSpace(c.Expected))
	}
}

// report fails the test if there are differences.
func (r *runner) report(step string, differences []string) {
	r.T.Helper()
	if len(differences) > 0 {
		r.T.Errorf("%s:\n\t%s", step, strings.Join(differences, "\n\t"))
	}
}

// authorize gives each sender of the case a token, and the permissions that the format promises. Those are granted
// last: once they are in effect, so are the ones in the case.
func (r *runner) authorize(c *fieldcase.Case) {
	r.T.Helper()
	for _, step := range c.Steps {
		if step.Deliver == nil {
			continue
		}
		name := senderOf(step.Deliver)
		if _, known := r.tokens[name]; known {
			continue
		}
		if name == anonymous {
			r.tokens[name] = ""
			r.grant(testcluster.Unauthenticated, "system:anonymous", []string{"system:unauthenticated"})
			continue
		}
		var subject rbacv1.Subject
		subject, r.tokens[name] = r.ServiceAccount(name, time.Hour)
		if name == defaultSender {
			r.grant(subject, "system:serviceaccount:"+r.Namespace+":"+name, nil)
		}
	}
}

// grant permits a subject all deliveries in the namespace, and waits until that is in effect for a user.
func (r *runner) grant(subject rbacv1.Subject, user string, groups []string) {
	r.T.Helper()
	r.Grant(subject, "create", "gatewaysyncs/webhookdeliveries,applications/webhookdeliveries,"+
		"applicationsets/webhookdeliveries,webhooksources/webhookdeliveries,webhookdeliveries")
	r.Eventually(testcluster.Patience, func() error {
		review, err := r.suite.Kube.AuthorizationV1().SubjectAccessReviews().Create(r.T.Context(),
			&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user, Groups: groups,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: r.Namespace, Verb: "create", Group: "postern.dev", Resource: "webhookdeliveries",
				},
			}}, metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			err = fmt.Errorf("%s may not deliver", user)
		}
		return err
	})
}

func senderOf(d *fieldcase.Delivery) string { return cmp.Or(d.As, defaultSender) }

// execute executes a step and returns how its outcome differs from the expected one.
func (r *runner) execute(step *fieldcase.Step) []string {
	r.T.Helper()
	before := r.objects.snapshot(step.Objects)
	var differences []string
	switch {
	case step.Deliver != nil:
		differences = r.deliver(step)
	case step.Redeliver != "":
		differences = r.redeliver(step)
	case step.Create != nil:
		r.objects.create(step.Create)
		r.suite.fence.await(r.T)
	case step.Patch != nil:
		r.objects.patch(step.Patch)
		r.suite.fence.await(r.T)
	default:
		r.objects.delete(step.Delete)
		r.suite.fence.await(r.T)
	}
	if record := step.Record; record != nil {
		differences = append(differences, r.await(func() []string { return r.checkRecord(step.Name, *record) })...)
	}
	return append(differences, r.await(func() []string { return r.checkState(step.State, before) })...)
}

// deliver sends a delivery and compares the answer.
func (r *runner) deliver(step *fieldcase.Step) []string {
	r.T.Helper()
	d := step.Deliver
	path, body, header := r.request(d)
	send := func() []string {
		answer, err := post(r.T, r.suite.sender(r.Namespace, r.tokens[senderOf(d)]), path, body, header)
		if err != nil {
			return []string{err.Error()}
		}
		return r.checkAnswer(step, answer)
	}
	if step.Eventually {
		return r.await(send)
	}
	return send()
}

// request returns the path, the body and the headers of a delivery.
func (r *runner) request(d *fieldcase.Delivery) (path, body string, header map[string]string) {
	r.T.Helper()
	header = map[string]string{}
	maps.Copy(header, d.Headers)
	body = d.RawBody
	if d.Body != nil {
		body = string(d.Body)
	}
	switch kind, name, _ := strings.Cut(d.Target, "/"); {
	case d.Source != "":
		path = "webhooksources/" + d.Source + "/webhookdeliveries"
	case slices.Contains(postern.TargetKinds(), postern.TargetKind(kind)):
		path = postern.TargetKind(kind).Resource() + "/" + name + "/webhookdeliveries"
	case d.Target != "":
		r.T.Fatalf("%s is no target: it must be KIND/NAME, with one of %v", d.Target, postern.TargetKinds())
	default:
		path, body = "webhookdeliveries", r.objectBody(d.Object)
	}
	if d.Query != "" {
		path += "?" + d.Query
	}
	if d.Sign != nil {
		secret := d.Sign.Secret
		if d.Sign.Key != "" {
			secret = r.objects.webhookSecret(d.Sign.Key)
		}
		name, value, err := d.Sign.SignBody(secret, []byte(body))
		if err != nil {
			r.T.Fatal(err)
		}
		header[name] = value
	}
	return path, body, header
}

// objectBody returns a WebhookDelivery as JSON.
func (r *runner) objectBody(object map[string]any) string {
	r.T.Helper()
	complete := map[string]any{
		"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
		"metadata": map[string]any{"generateName": "case-"},
	}
	maps.Copy(complete, object)
	encoded, err := json.Marshal(complete)
	if err != nil {
		r.T.Fatal(err)
	}
	return string(encoded)
}

// redeliver delivers the record of an earlier step again, as an administrator.
func (r *runner) redeliver(step *fieldcase.Step) []string {
	r.T.Helper()
	name, ok := r.delivered[step.Redeliver]
	if !ok {
		return []string{fmt.Sprintf("the step %q left no record to redeliver", step.Redeliver)}
	}
	answer, err := post(r.T, r.suite.administrator(r.Namespace), "webhookdeliveries/"+name+"/redeliver", "", nil)
	if err != nil {
		return []string{err.Error()}
	}
	return r.checkAnswer(step, answer)
}

// checkAnswer compares an answer, and keeps the name of the recorded delivery.
func (r *runner) checkAnswer(step *fieldcase.Step, answer testcluster.Answer) []string {
	r.T.Helper()
	got, name, err := readOutcome(answer.Body)
	if err != nil {
		return []string{fmt.Sprintf("answered %d with %s: %v", answer.Code, answer.Body, err)}
	}
	if name != "" && answer.Code < http.StatusMultipleChoices {
		r.delivered[step.Name] = name
		r.objects.clients["WebhookDelivery/"+name] = r.suite.Objects.Resource(webhookDeliveries).Namespace(r.Namespace)
	}
	differences := compareOutcome(step.Answer.Outcome, got)
	if answer.Code != step.Answer.Code {
		differences = append([]string{fmt.Sprintf("code: want %d, got %d", step.Answer.Code, answer.Code)},
			differences...)
	}
	if len(differences) > 0 {
		differences = append(differences, fmt.Sprintf("the answer was: %s", got))
	}
	return differences
}
