// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package fieldcase has the format of field cases: situations that users of Postern, or of programs that do a part of
// its work, have reported, with the expected outcome. Each case is a YAML file in the parent directory, whose tests run
// them.
package fieldcase

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// NamespacePlaceholder stands for the namespace of the case anywhere in its file, such as in an admission policy.
const NamespacePlaceholder = "$(namespace)"

// Case is one situation and its expected outcome.
type Case struct {
	// Name is the name of the file without its extension.
	Name string `json:"-"`
	// Situation describes what users have and do.
	Situation string `json:"situation"`
	// Reported are the URLs of the reports, or of documentation that describes the situation.
	Reported []string `json:"reported"`
	// Expected is the expected outcome in words, and why.
	Expected string `json:"expected"`
	// Objects are complete manifests of any kind, created in this order before the first step. Namespaced ones must not
	// name a namespace. A status is written too.
	Objects []map[string]any `json:"objects,omitempty"`
	// Steps are executed in this order. If one fails, the others are executed too.
	Steps []Step `json:"steps"`
	// Finally is expected after the last step.
	Finally State `json:"finally,omitzero"`
}

// Step is one action and its expected outcome. Exactly one of Deliver, Redeliver, Create, Patch and Delete is set.
type Step struct {
	// Name describes the step in failures.
	Name string `json:"name"`

	Deliver *Delivery `json:"deliver,omitempty"`
	// Redeliver is the name of an earlier step, whose recorded delivery is delivered again.
	Redeliver string `json:"redeliver,omitempty"`
	// Create is a manifest, like Case.Objects.
	Create map[string]any `json:"create,omitempty"`
	Patch  *Patch         `json:"patch,omitempty"`
	// Delete is an object as Kind/name.
	Delete string `json:"delete,omitempty"`

	// Eventually repeats a delivery until it is answered as expected. It is for what takes effect with a delay, such as
	// an admission policy. Use dry runs, which leave nothing behind.
	Eventually bool `json:"eventually,omitempty"`
	// Answer is what the sender is answered. Required for a delivery and a redelivery.
	Answer *Answer `json:"answer,omitempty"`
	// Record is waited for in the record of the delivery.
	Record *Outcome `json:"record,omitempty"`
	// State is expected after the step.
	State
}

// Delivery is one request of a sender. Exactly one of Source, Target and Object is set.
type Delivery struct {
	// Source is a type of sender: the delivery goes to the targets that follow what is pushed.
	Source string `json:"source,omitempty"`
	// Target is the object that the delivery goes to, as Kind/name.
	Target string `json:"target,omitempty"`
	// Object is a WebhookDelivery to create, without apiVersion and kind. Its name is generated unless it has one.
	Object map[string]any `json:"object,omitempty"`

	// As is the sender: a ServiceAccount among the objects, "anonymous", or by default a ServiceAccount that may create
	// deliveries of any kind in the namespace. Anonymous senders may deliver to all sources and targets.
	As string `json:"as,omitempty"`
	// Headers are sent in addition to Content-Type: application/json, which they may replace.
	Headers map[string]string `json:"headers,omitempty"`
	// Query is the query of the URL, without the question mark.
	Query string `json:"query,omitempty"`
	// Body is any value, sent as JSON. RawBody is sent as is. At most one is set.
	Body    json.RawMessage `json:"body,omitempty"`
	RawBody string          `json:"rawBody,omitempty"`
	Sign    *Signature      `json:"sign,omitempty"`
}

// Signature makes the runner sign a body as a sender would. Exactly one of Key and Secret is set.
type Signature struct {
	// Key is the key of the secret in the Secret postern-webhook-secrets among the objects.
	Key string `json:"key,omitempty"`
	// Secret is the secret itself.
	Secret string `json:"secret,omitempty"`
	// Header is the header of the signature, which selects the scheme: X-Hub-Signature-256 by default.
	Header string `json:"header,omitempty"`
}

// Patch is a JSON merge patch by an administrator.
type Patch struct {
	// Object is Kind/name, also of a recorded delivery.
	Object string         `json:"object"`
	With   map[string]any `json:"with"`
	// Manager is the field manager, such as that of another controller.
	Manager string `json:"manager,omitempty"`
}

// Answer is the expected response.
type Answer struct {
	// Code is the HTTP status.
	Code int `json:"code"`
	Outcome
}

// Outcome is what is expected of a delivery. Fields that are not given are not compared.
type Outcome struct {
	Phase v1alpha1.DeliveryPhase `json:"phase,omitempty"`
	// Reason is the reason of the delivery, or of an error.
	Reason string `json:"reason,omitempty"`
	// Message is a part of the message.
	Message string `json:"message,omitempty"`
	// Source is the detected type of sender, and Method how it was authenticated.
	Source string `json:"source,omitempty"`
	Method string `json:"method,omitempty"`
	// Events are all of spec.events, and Targets all of status.targets. Items match as described for State.Objects.
	Events  []map[string]any `json:"events,omitzero"`
	Targets []map[string]any `json:"targets,omitzero"`
	// Conditions are statuses by type.
	Conditions map[string]string `json:"conditions,omitempty"`
	// Repeats is how often the delivery was repeated.
	Repeats *int64 `json:"repeats,omitempty"`
}

// State is what is expected in the cluster. It is waited for. Fields that are not given are not compared.
type State struct {
	// Objects are parts of objects of the case, and of recorded deliveries, by Kind/name; see Diff.
	Objects map[string]any `json:"state,omitempty"`
	// Records is the number of deliveries in the namespace.
	Records *int `json:"records,omitempty"`
	// Events are Kubernetes Events that exist. An empty list means that there are none.
	Events []Event `json:"kubernetesEvents,omitzero"`
}

// Event is a Kubernetes Event. Fields that are not given are not compared.
type Event struct {
	Type   string `json:"type,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Regarding is Kind/name.
	Regarding string `json:"regarding,omitempty"`
	// Note is a part of the note.
	Note string `json:"note,omitempty"`
}

// Files returns the files of all cases in a directory, sorted.
func Files(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no case in %s", dir)
	}
	return files, err
}

// NameOf returns the name of the case in a file.
func NameOf(file string) string { return strings.TrimSuffix(filepath.Base(file), ".yaml") }

// Read reads a case for a namespace. Unknown and repeated fields are errors, and so is a case that does not say what is
// expected.
func Read(file, namespace string) (*Case, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := parse(strings.ReplaceAll(string(text), NamespacePlaceholder, namespace))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c.Name = NameOf(file)
	return c, nil
}

func parse(text string) (*Case, error) {
	c := &Case{}
	if err := yaml.UnmarshalStrict([]byte(text), c); err != nil {
		return nil, err
	}
	return c, c.validate()
}

func (c *Case) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Situation == "" || c.Expected == "" || len(c.Reported) == 0 {
		fail("situation, reported and expected are required")
	}
	for _, url := range c.Reported {
		if !strings.HasPrefix(url, "https://") {
			fail("%q in reported is not a URL", url)
		}
	}
	if len(c.Steps) == 0 {
		fail("there are no steps")
	}
	var delivered []string
	for i, step := range c.Steps {
		if err := step.validate(delivered); err != nil {
			fail("step %d (%s): %w", i+1, step.Name, err)
		}
		if step.Deliver != nil {
			delivered = append(delivered, step.Name)
		}
	}
	return errors.Join(errs...)
}

// validate checks a step. delivered are the names of the earlier steps that deliver.
func (s *Step) validate(delivered []string) error {
	switch {
	case s.Name == "":
		return errors.New("a step needs a name")
	case slices.Contains(delivered, s.Name):
		return errors.New("an earlier step has the same name")
	case count(s.Deliver != nil, s.Redeliver != "", s.Create != nil, s.Patch != nil, s.Delete != "") != 1:
		return errors.New("a step is one of deliver, redeliver, create, patch and delete")
	case s.Redeliver != "" && !slices.Contains(delivered, s.Redeliver):
		return fmt.Errorf("no earlier step delivers as %q", s.Redeliver)
	case s.Deliver == nil && s.Redeliver == "":
		if s.Answer != nil || s.Record != nil || s.Eventually {
			return errors.New("only deliveries have answer, record and eventually")
		}
		return nil
	case s.Answer == nil || s.Answer.Code == 0:
		return errors.New("the code of the answer is required")
	}
	outcomes := []*Outcome{&s.Answer.Outcome}
	if s.Record != nil {
		outcomes = append(outcomes, s.Record)
	}
	for _, o := range outcomes {
		if err := errors.Join(checkFields[v1alpha1.DeliveryEvent](o.Events),
			checkFields[v1alpha1.TargetResult](o.Targets)); err != nil {
			return err
		}
	}
	if s.Deliver != nil {
		return s.Deliver.validate()
	}
	return nil
}

func (d *Delivery) validate() error {
	switch {
	case count(d.Source != "", d.Target != "", d.Object != nil) != 1:
		return errors.New("a delivery has one of source, target and object")
	case d.Object != nil && (d.Body != nil || d.RawBody != "" || d.Sign != nil):
		return errors.New("a delivery with an object has no body and no signature")
	case d.Object == nil && count(d.Body != nil, d.RawBody != "") != 1:
		return errors.New("a delivery has one of body and rawBody")
	case d.Sign != nil && count(d.Sign.Key != "", d.Sign.Secret != "") != 1:
		return errors.New("a signature has one of key and secret")
	}
	return nil
}

// checkFields returns an error for a field that the type of the items does not have.
func checkFields[T any](items []map[string]any) error {
	encoded, err := yaml.Marshal(items)
	if err != nil {
		return err
	}
	var typed []T
	// Markers such as Any have no valid form in some fields, so only unknown fields count.
	if err := yaml.UnmarshalStrict(encoded, &typed); err != nil && strings.Contains(err.Error(), "unknown field") {
		return err
	}
	return nil
}

func count(conditions ...bool) (n int) {
	for _, condition := range conditions {
		if condition {
			n++
		}
	}
	return n
}
