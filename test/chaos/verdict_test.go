// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"strings"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// outcome is the status in a delivery's record.
type outcome struct {
	phase   v1alpha1.DeliveryPhase
	reason  string
	message string
}

// evidence is compared with the ledger.
type evidence struct {
	// outcomes are the outcomes of all records, by name.
	outcomes map[string]outcome
	// held is the ref that each target has.
	held map[target]string
	// written are all refs that were ever written to each target.
	written map[target]map[string]bool
}

// verdict is the result of the comparison.
type verdict struct {
	sent       int
	answers    map[int]int
	applied    int
	superseded int
	// failed counts deliveries whose record has phase Failed and a reason.
	failed int
	lost   int
	// problems are all losses, failures and contradictions.
	problems []string
}

// String returns the counts without the problems.
func (v verdict) String() string {
	return fmt.Sprintf(
		"sent %d, answers %v (0: none); of those accepted: applied %d, superseded %d, failed %d, lost %d",
		v.sent, v.answers, v.applied, v.superseded, v.failed, v.lost)
}

// judge compares all entries with the evidence. An accepted delivery is lost if it has no record, if its record does
// not end, if it is recorded as applied but was never written, or if its target has an older ref.
func judge(entries []entry, found evidence) verdict {
	v := verdict{sent: len(entries), answers: answers(entries)}
	holders := map[target]entry{} // the entry whose ref the target has
	for _, e := range entries {
		if found.held[e.target] == e.ref {
			holders[e.target] = e
		}
	}
	for _, e := range entries {
		if !e.accepted() {
			if e.code >= 200 && e.code < 300 {
				v.lose(e, fmt.Sprintf("was accepted, but the answer is not a delivery: %s", e.refusal))
			}
			continue
		}
		if o := found.outcomes[e.record]; o.phase == v1alpha1.DeliveryFailed && o.reason != "" {
			v.failed++
			v.problems = append(v.problems, fmt.Sprintf("%s to %s failed: %s: %s", e.ref, e.target, o.reason,
				o.message))
			continue
		}
		if loss := v.count(e, found); loss != "" {
			v.lose(e, loss)
			continue
		}
		holder, known := holders[e.target]
		switch {
		case !known:
			v.lose(e, fmt.Sprintf("is not at its target, which has %q; no request sent it", found.held[e.target]))
		case holder.before(e):
			v.lose(e, fmt.Sprintf("is not at its target, which has the older %s", holder.ref))
		}
	}
	return v
}

// count counts the phase of the record, and returns the reason if the record shows that the delivery is lost.
func (v *verdict) count(e entry, found evidence) (loss string) {
	o, recorded := found.outcomes[e.record]
	switch {
	case !recorded:
		return "has no record " + e.record
	case o.phase == v1alpha1.DeliveryApplied:
		v.applied++
		if !found.written[e.target][e.ref] {
			return "is recorded as Applied, but was never written"
		}
	case o.phase == v1alpha1.DeliverySuperseded:
		v.superseded++
	default:
		return fmt.Sprintf("is recorded in %s as %q %q %q", e.record, o.phase, o.reason, o.message)
	}
	if e.phase == v1alpha1.DeliveryApplied && !found.written[e.target][e.ref] {
		return "was answered as Applied, but was never written"
	}
	return ""
}

func (v *verdict) lose(e entry, how string) {
	v.lost++
	v.problems = append(v.problems, fmt.Sprintf("%s to %s, answered %d %q, %s", e.ref, e.target, e.code, e.phase, how))
}

func (v verdict) first(n int) string {
	text := strings.Join(v.problems[:min(n, len(v.problems))], "\n")
	if more := len(v.problems) - n; more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}
