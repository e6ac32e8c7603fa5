// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// How much of the log of each Pod is read. A refusal is one line, of some hundred bytes.
const (
	maxPods     = 5
	maxLogBytes = 4 << 20
	logSeconds  = 3600
	maxLogLines = 10_000
)

// The messages of the log about deliveries that leave no record: rejected credentials, of which the sender is not told
// the reason, and those that were refused for another reason, which the answer has.
const (
	rejectedInLog = "Rejected a delivery"
	refusedInLog  = "Refused a delivery"
)

// refusal is a line of the log about a delivery that left no record.
type refusal struct {
	time                      time.Time
	namespace, source, target string
	// reason is why the credential was rejected; empty if it was not. message is the answer otherwise.
	reason  credential.Reason
	message string
}

// examineCredentials looks for rejected credentials in Postern's log: the answer must not reveal whether a secret
// exists, so the sender is not told why.
func (e *examiner) examineCredentials(ctx context.Context) {
	if !e.readLogs(ctx) {
		return
	}
	last, count := e.lastRefusal(func(r refusal) bool { return r.reason != "" })
	if last == nil {
		if e.logIsLonger {
			e.report(Unknown, "", "the log of the last hour is longer than the %d MiB that are read of each Pod. This "+
				"part has no rejected credential", maxLogBytes>>20)
			return
		}
		e.report(OK, "", "Postern has rejected no credential here within the last hour")
		return
	}
	e.reportRejection(*last, count)
}

// examineRefusals looks in the log for deliveries that were refused after their sender had proved itself.
func (e *examiner) examineRefusals(ctx context.Context) {
	last, count := e.lastRefusal(func(r refusal) bool { return r.reason == "" })
	if last == nil {
		return
	}
	// Other causes, such as a missing target, are examined on their own.
	level, command, over := Warning, e.admissionRemedy(ctx, last.message), ""
	switch {
	case len(e.deliveries) > 0 && cli.ReceivedAt(&e.deliveries[0]).After(last.time):
		level, command, over = Note, "", "; a later delivery was accepted"
	case command != "":
		level = Fault
	}
	e.report(level, command, "%d refused within the last hour, the last one %s ago: %s%s", count,
		duration.HumanDuration(time.Since(last.time)), last.message, over)
}

// lastRefusal returns the last one of the refusals in the log, and how many there are.
func (e *examiner) lastRefusal(isWanted func(refusal) bool) (last *refusal, count int) {
	for i := range e.refusals {
		if r := &e.refusals[i]; isWanted(*r) {
			count++
			if last == nil || r.time.After(last.time) {
				last = r
			}
		}
	}
	return last, count
}

// readLogs reads the refusals in the logs that concern the question. It reports false if it could read none.
func (e *examiner) readLogs(ctx context.Context) bool {
	system := e.systemNamespace()
	const what = ", which has the rejected credentials"
	pods, err := e.Kubernetes.CoreV1().Pods(system).List(ctx,
		metav1.ListOptions{LabelSelector: podSelector, Limit: maxPods})
	if err != nil {
		e.cannotRead("Postern's log in "+system+what, err)
		return false
	}
	if len(pods.Items) == 0 {
		e.report(Unknown, "", "there is no Pod of Postern in %s. Where it runs, search its log for %q", system,
			rejectedInLog)
	}
	read := false
	for i := range pods.Items {
		log, err := e.readLog(ctx, &pods.Items[i])
		if err != nil {
			e.cannotRead("the log of "+system+"/"+pods.Items[i].Name+what, err)
			continue
		}
		read = true
		e.logIsLonger = e.logIsLonger || len(log) >= maxLogBytes
		for _, r := range refusalsIn(log) {
			if e.concerns(r) {
				e.refusals = append(e.refusals, r)
			}
		}
	}
	return read
}

func (e *examiner) readLog(ctx context.Context, pod *corev1.Pod) ([]byte, error) {
	seconds, bytes, lines := int64(logSeconds), int64(maxLogBytes), int64(maxLogLines)
	return e.Kubernetes.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: "postern", SinceSeconds: &seconds, LimitBytes: &bytes, TailLines: &lines, Timestamps: true,
	}).DoRaw(ctx)
}

// concerns reports whether a refusal is of the sender and the target of the question. Before a sender has proved itself
// its type may be unknown.
func (e *examiner) concerns(r refusal) bool {
	switch {
	case r.namespace != e.Namespace:
		return false
	case e.Source != "" && r.source != "" && r.source != e.Source:
		return false
	case e.Target != nil && r.target != "":
		return r.target == e.Namespace+"/"+e.Target.Name
	}
	return true
}

// refusalsIn returns the refusals in a log with the time before each line.
func refusalsIn(log []byte) (found []refusal) {
	for text := range strings.Lines(string(log)) {
		stamp, line, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		message, values := parseLine(line)
		isRejected, isRefused := message == rejectedInLog, message == refusedInLog
		if !isRejected && !isRefused {
			continue
		}
		when, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			continue
		}
		r := refusal{
			time: when, namespace: values["namespace"], source: values["source"], target: values["target"],
			message: values["err"],
		}
		if isRejected {
			r.reason = credential.Reason(values["reason"])
		}
		if namespace, _, found := strings.Cut(values["delivery"], "/"); found && r.namespace == "" {
			r.namespace = namespace
		}
		found = append(found, r)
	}
	return found
}

// header is what a line of the log's format "text" has before its message. A value of several lines is continued in
// lines that are indented, so they have none, even if a sender writes such a line.
var header = regexp.MustCompile(`^[A-Z]\d{4} \S+ +\d+ \S+:\d+\] `)

// pair is a key with a quoted value in a line of the log's format "text".
var pair = regexp.MustCompile(`([A-Za-z]+)=("(?:[^"\\]|\\.)*")`)

// parseLine returns the message and the values of a line of the log, in the format "text" or "json". The message is
// empty if it is neither.
func parseLine(line string) (message string, values map[string]string) {
	values = map[string]string{}
	if strings.HasPrefix(line, "{") {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) != nil {
			return "", nil
		}
		for key, value := range fields {
			switch value := value.(type) {
			case string:
				values[key] = value
			case map[string]any: // a reference to an object
				namespace, _ := value["namespace"].(string)
				name, _ := value["name"].(string)
				values[key] = namespace + "/" + name
			}
		}
		return values["msg"], values
	}
	before := header.FindString(line)
	quoted, err := strconv.QuotedPrefix(line[len(before):])
	if before == "" || err != nil {
		return "", nil
	}
	message, _ = strconv.Unquote(quoted) // it is quoted
	for _, found := range pair.FindAllStringSubmatch(line[len(before)+len(quoted):], -1) {
		if value, err := strconv.Unquote(found[2]); err == nil {
			values[found[1]] = value
		}
	}
	return message, values
}

// reportRejection reports the last rejection. If a sender was accepted later, it is over.
func (e *examiner) reportRejection(r refusal, count int) {
	cause, command := e.explainRejection(r)
	level := Fault
	switch {
	case e.lastVerified().After(r.time):
		level, command = Note, ""
		cause += "; a later delivery was accepted"
	case e.lacksSecret && r.reason == credential.ReasonNoSecretConfigured:
		level, command, cause = Note, "", "as said above, there is no secret to compare with"
	}
	e.report(level, command, "%d rejected within the last hour, the last one %s ago with the reason %s: %s", count,
		duration.HumanDuration(time.Since(r.time)), r.reason, cause)
}

// lastVerified returns when the last sender without an identity was accepted.
func (e *examiner) lastVerified() (last time.Time) {
	for i := range e.deliveries {
		d := &e.deliveries[i]
		if d.Status.Sender == nil || d.Status.ReceivedTime == nil || isIdentity(d.Status.Sender) {
			continue
		}
		if d.Status.ReceivedTime.After(last) {
			last = d.Status.ReceivedTime.Time
		}
	}
	return last
}

func isIdentity(sender *v1alpha1.Sender) bool {
	return isOneOf(sender.Method, string(credential.MethodServiceAccount), string(credential.MethodUser))
}

// explainRejection returns the usual cause of a rejection, and the command that helps.
func (e *examiner) explainRejection(r refusal) (cause, command string) {
	source := e.Source
	if _, known := payload.Lookup(r.source); known { // any client may have chosen another
		source = r.source
	}
	key := e.likelyKey(source)
	switch r.reason {
	case credential.ReasonNoCredential:
		return "the webhook came without a secret, signature or token. The kube-apiserver removes Authorization " +
			"without Bearer. This prints the secret, for the settings of the sender", e.showKey(key)
	case credential.ReasonNoSecretConfigured:
		return "no key applies to this sender. Paste the secret of the sender, and end with ctrl-D", e.setSecret(source)
	case credential.ReasonSignatureMismatch, credential.ReasonTokenMismatch:
		return "the sender has another secret than the key " + key + ", or its body was changed on the way. Paste " +
			"the secret of the sender, and end with ctrl-D", e.setSecret(source)
	case credential.ReasonSHA1Signature, credential.ReasonMalformedSignature, credential.ReasonSignatureNotCounted:
		return "this kind of signature is not accepted from this sender", e.kubectlHere("get", "webhooksources",
			"--output=wide")
	case credential.ReasonTimestampOutOfWindow:
		return "the signature is older than five minutes: a replay, or a wrong clock", ""
	case credential.ReasonMalformedToken, credential.ReasonTokenTooLong, credential.ReasonTokenEncrypted,
		credential.ReasonTokenAlgorithm, credential.ReasonTokenExpired, credential.ReasonTokenNotYetValid:
		return "the OIDC token itself can't be used: the answer to the sender says why", ""
	case credential.ReasonInvalidConfiguration, credential.ReasonIssuerNotTrusted, credential.ReasonKeyNotFound,
		credential.ReasonTokenSignatureMismatch, credential.ReasonAudienceNotAccepted,
		credential.ReasonClaimsNotAccepted:
		return "the OIDC token is not one that the key oidc trusts. Compare its claims with this", e.showKey("oidc")
	case credential.ReasonKeysUnknown:
		return "the keys of the OIDC issuer could not be fetched yet: the log says why, and --oidc-issuer-hosts must " +
			"list its host", ""
	case credential.ReasonRepeatedHeader:
		return "a header was given twice: a proxy may duplicate it", ""
	case credential.ReasonQueryTokenNotAllowed:
		return "?secret= is accepted only from senders that support nothing else, and at the path of their type",
			e.kubectlHere("get", "webhooksources", "--output=wide")
	}
	return "see the log", ""
}

// likelyKey returns the key that a sender is verified with.
func (e *examiner) likelyKey(source string) string {
	if own := e.ownKeys(); len(own) > 0 {
		return own[0]
	}
	if used := e.usedKeys(); len(used) > 0 {
		return used[0]
	}
	if source == "" {
		return "hmac"
	}
	return payload.SecretKey(source)
}
