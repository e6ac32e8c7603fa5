// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// explain sets the explanation of a result. live is the target as it is now; nil if it could not be read.
func (t *TargetStory) explain(live *liveTarget) {
	sentences := []string{t.outcome()}
	switch {
	case t.Result == v1alpha1.TargetSuperseded && t.SupersededBy != "":
		sentences = append(sentences, "The delivery "+t.SupersededBy+" won.")
	case t.Result == v1alpha1.TargetSuperseded, !t.isReplaced():
	case t.SupersededBy != "":
		sentences = append(sentences, fmt.Sprintf("Since then, the delivery %s has replaced it%s.", t.SupersededBy,
			t.nowHas()))
	default:
		sentences = append(sentences, t.replacedBySomething(live))
	}
	t.Explanation = strings.Join(slices.DeleteFunc(sentences, func(s string) bool { return s == "" }), " ")
}

// outcome says why the target got its result.
func (t *TargetStory) outcome() string {
	meaning := Meaning(t.Reason)
	switch {
	case t.Reason == "TakenBack", t.Result == v1alpha1.TargetFailed, t.Result == v1alpha1.TargetPending:
		return withDetail(meaning, t.Message)
	case t.Result == v1alpha1.TargetHeld:
		return strings.TrimSpace(meaning + holdSays(t.Message))
	case t.Result == v1alpha1.TargetWritten && t.Reason == "Requested":
		return t.got()
	case t.Result == v1alpha1.TargetWritten:
		return meaning + " " + t.got()
	case t.Result == v1alpha1.TargetSkipped:
		return withDetail(meaning, t.Message)
	}
	return meaning
}

// messageOfHold is what the server says of a held target: why, if the annotation has a reason, and how to release it,
// which is an advice here; or of a delivery that is held itself.
var messageOfHold = regexp.MustCompile(
	`^(?:held(?: \((?:RolledBack: )?(.*)\))?, until it is released: .*|the delivery is held: (.*))$`)

// holdSays repeats the reason for a hold, if it has one.
func holdSays(message string) string {
	found := messageOfHold.FindStringSubmatch(message)
	if found == nil {
		found = []string{"", message}
	}
	if why := strings.Join(found[1:], ""); why != "" {
		return " The hold says: " + why + "."
	}
	return ""
}

// got says what the target had before and got. An ApplicationSet has no ref.
func (t *TargetStory) got() string {
	if t.Kind == v1alpha1.TargetApplicationSet {
		return "Argo CD was asked to run its generators."
	}
	if t.PreviousRef == "" || t.PreviousRef == t.Ref {
		return "It got " + t.Ref + "."
	}
	return "It had " + t.PreviousRef + " before, and got " + t.Ref + "."
}

// nowHas says what the target has now, if that is known and not what was requested.
func (t *TargetStory) nowHas() string {
	if t.CurrentRef == "" || t.CurrentRef == t.Ref {
		return ""
	}
	return ": it has " + t.CurrentRef + " now"
}

// replacedBySomething says what is known of a change that no recorded delivery made.
func (t *TargetStory) replacedBySomething(live *liveTarget) string {
	var last lastEvent
	for _, event := range live.lastEvents() {
		if event.Received.After(last.Received) {
			last = event
		}
	}
	if last.Received.After(t.Time.Add(time.Second)) { // the time of a result is in whole seconds
		return fmt.Sprintf("Since then, a webhook of type %s, received at %s, has replaced it%s. Its record is gone, "+
			"or was not read.", last.By, last.Received.UTC().Format(time.RFC3339), t.nowHas())
	}
	return "Since then, something other than a webhook has changed it" + t.nowHas() + "."
}

// withDetail adds the server's own message to a sentence.
func withDetail(sentence, message string) string {
	if message == "" || sentence == "" {
		return sentence
	}
	return strings.TrimSuffix(sentence, ".") + " (" + message + ")."
}

// summarize sets the summary.
func (s *Story) summarize() {
	s.Summary = s.request() + " " + s.result()
}

// request says who requested what of which target.
func (s *Story) request() string {
	d := s.Delivery
	text := senderOf(d)
	if d.Spec.RedeliveryOf != "" {
		text += " delivered " + d.Spec.RedeliveryOf + " again, which requests "
	} else {
		text += " requested "
	}
	text += requested(d.Spec.Events)
	switch {
	case d.Spec.Target != nil:
		return text + " for " + cli.TargetName(d.Spec.Target.Kind, d.Spec.Target.Name) + "."
	case len(d.Spec.Events) == 0:
		return text + "."
	}
	return text + " for every target in namespace " + d.Namespace + " that follows it."
}

// methods are the methods of authentication in words.
var methods = map[string]string{
	"HMAC": "signed with a webhook secret", "Token": "with a webhook secret", "QueryToken": "with a secret in the URL",
	"None": "without any proof", "OIDC": "with an OIDC token",
}

// senderOf names the type of sender, and who it was for the cluster.
func senderOf(d *v1alpha1.WebhookDelivery) string {
	sender := d.Status.Sender
	if sender == nil {
		return "A webhook of type " + d.Spec.Source
	}
	if proof, ok := methods[sender.Method]; ok {
		return fmt.Sprintf("A webhook of type %s, %s,", d.Spec.Source, proof)
	}
	return fmt.Sprintf("%s (%s), as a sender of type %s,", sender.Name, sender.Method, d.Spec.Source)
}

// maxNamed bounds the refs that a summary names.
const maxNamed = 3

func requested(events []v1alpha1.DeliveryEvent) string {
	var refs []string
	for i := range events {
		ref := events[i].Ref
		if image := events[i].Image; image != nil {
			ref = imageReference(image)
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	switch more := len(refs) - maxNamed; {
	case len(refs) == 0:
		return "nothing"
	case more > 0:
		return fmt.Sprintf("%s and %d more", strings.Join(refs[:maxNamed], ", "), more)
	}
	return strings.Join(refs, ", ")
}

// result says the outcome of the delivery, and why.
func (s *Story) result() string {
	status := &s.Delivery.Status
	verdict := verdicts[status.Phase]
	if verdict == "" {
		verdict = "Its phase is " + string(status.Phase) + "."
	}
	because := withDetail(Meaning(status.Reason), status.Message)
	if len(s.Targets) == 1 {
		because = s.Targets[0].Explanation
	}
	return strings.TrimSpace(verdict + " " + because)
}

// verdicts are the phases in words.
var verdicts = map[v1alpha1.DeliveryPhase]string{
	v1alpha1.DeliveryApplied:    "It was applied.",
	v1alpha1.DeliveryPending:    "It is not finished.",
	v1alpha1.DeliveryHeld:       "It is held.",
	v1alpha1.DeliverySuperseded: "It was not applied, because it had been superseded.",
	v1alpha1.DeliveryIgnored:    "Nothing was done.",
	v1alpha1.DeliveryFailed:     "It failed.",
}
