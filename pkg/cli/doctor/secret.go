// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"postern.dev/postern/pkg/payload"
)

// examineSecret checks that a secret applies to the sender. Only the metadata of the Secret is read, never a value: the
// managed fields name its keys.
func (e *examiner) examineSecret(ctx context.Context) {
	if !e.isAnonymous() {
		if e.User != "" {
			e.report(OK, "", "%s needs no webhook secret: its identity suffices, unless Postern runs with "+
				"--identity-is-credential=false", e.User)
		}
		return
	}
	missing := e.readKeys(ctx)
	own := e.ownKeys()
	switch {
	case len(own) > 0:
		e.examineOwnKeys(own)
	case e.source == nil && e.Source != "": // it could not be read, which is reported
	case e.Source == "":
		e.reportKeys(missing)
	case e.source.Status.HasSecret:
		e.reportUsedKeys()
	case missing:
		e.lacksSecret = true
		e.report(Fault, e.setSecret(e.Source), "there is no Secret %s in %s, so no webhook secret of %s can be "+
			"accepted. Paste the secret of the sender, and end with ctrl-D%s", secretName, e.Namespace, e.Source,
			e.elsewhere(ctx))
	default:
		e.reportNoKey()
	}
}

// readKeys reads the names of the keys. missing is true if there is no Secret.
func (e *examiner) readKeys(ctx context.Context) (missing bool) {
	secret, err := e.metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(e.Namespace).
		Get(ctx, secretName, getOptions)
	switch {
	case apierrors.IsNotFound(err):
		e.keysKnown = true
		return true
	case err != nil:
		e.cannotRead("the names of the keys in the Secret "+secretName, err)
		return false
	}
	e.keys = keysIn(secret.ManagedFields)
	e.keysKnown = len(e.keys) > 0
	return false
}

// keysIn returns the names of the keys of a Secret.
func keysIn(managed []metav1.ManagedFieldsEntry) []string {
	keys := sets.New[string]()
	for _, entry := range managed {
		var fields struct {
			Data map[string]any `json:"f:data"`
		}
		if entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for field := range fields.Data {
			if key, isField := strings.CutPrefix(field, "f:"); isField {
				keys.Insert(key)
			}
		}
	}
	return sets.List(keys)
}

// ownKeys returns the keys of the target alone. It then accepts no other.
func (e *examiner) ownKeys() (own []string) {
	if e.Target == nil {
		return nil
	}
	for _, kind := range []string{"hmac", "token"} {
		if key := e.targetResource() + "." + e.Target.Name + "." + kind; slices.Contains(e.keys, key) {
			own = append(own, key)
		}
	}
	return own
}

// examineOwnKeys checks that a sender can use one of the target's own keys.
func (e *examiner) examineOwnKeys(own []string) {
	usable := slices.DeleteFunc(slices.Clone(own), func(key string) bool {
		signs := len(e.sender.Signatures) > 0
		return e.Source != "" && strings.HasSuffix(key, ".hmac") && !signs ||
			e.Source != "" && strings.HasSuffix(key, ".token") && !e.sender.Token && !e.sender.QueryToken
	})
	switch {
	case len(usable) == 0:
		e.report(Fault, e.setSecret(e.Source), "%s accepts only its own keys (%s), and %s can't use them. Paste the "+
			"secret of the sender, and end with ctrl-D", e.targetName(), list(own), e.Source)
	case e.sendsImages():
		e.report(Warning, "", "%s accepts only its own keys (%s), and by source only senders with an identity: "+
			"deliver to its own path", e.targetName(), list(own))
	default:
		e.report(Note, "", "%s accepts only its own keys (%s), no key of the namespace: the sender must have that "+
			"secret, and deliver to the path of the target", e.targetName(), list(usable))
	}
}

// reportKeys reports which keys there are, if no sender is given.
func (e *examiner) reportKeys(missing bool) {
	switch {
	case missing:
		e.report(Fault, e.setSecret(""), "there is no Secret %s in %s, so no webhook secret can be accepted. Paste "+
			"the secret of the sender, and end with ctrl-D", secretName, e.Namespace)
	case e.keysKnown:
		e.report(Note, "", "the Secret %s has the keys %s: name the sender with --source to have them checked",
			secretName, list(e.keys))
	}
}

// usedKeys are the keys that exist and apply to the sender.
func (e *examiner) usedKeys() (used []string) {
	if e.source == nil {
		return nil
	}
	for _, key := range e.source.Status.SecretKeys {
		if slices.Contains(e.keys, key) {
			used = append(used, key)
		}
	}
	return used
}

func (e *examiner) reportUsedKeys() {
	switch used := e.usedKeys(); {
	case len(used) > 0:
		e.report(OK, "", "Postern has a secret for %s: the key %s of the Secret %s", e.Source, list(used), secretName)
	case e.keysKnown:
		e.report(OK, "", "Postern has a secret for %s: a default of the classic receiver, since %s has no key for it",
			e.Source, secretName)
	default:
		e.report(OK, "", "Postern has a secret for %s", e.Source)
	}
}

// reportNoKey reports that the Secret has no secret for the sender, and suggests the key that may be meant.
func (e *examiner) reportNoKey() {
	e.lacksSecret = true
	right := payload.SecretKey(e.Source)
	if len(e.source.Status.SecretKeys) > 0 {
		right = e.source.Status.SecretKeys[0]
	}
	if used := e.usedKeys(); len(used) > 0 {
		e.report(Fault, e.setSecret(e.Source), "the key %s of the Secret %s is empty, and an empty secret accepts "+
			"nothing. Paste the secret of the sender, and end with ctrl-D", used[0], secretName)
		return
	}
	for _, key := range e.keys {
		if !isKnownKey(key) && e.isMeant(key) {
			patch := fmt.Sprintf(`[{"op": "move", "from": "/data/%s", "path": "/data/%s"}]`, key, right)
			e.report(Fault, e.kubectlHere("patch", "secret", secretName, "--type=json", "--patch", patch),
				"the Secret %s has the key %s, which Postern does not read: for %s it must be %s", secretName, key,
				e.Source, strings.Join(e.source.Status.SecretKeys, " or "))
			return
		}
	}
	has := ""
	if len(e.keys) > 0 {
		has = " It has " + list(e.keys) + "."
	}
	e.report(Fault, e.setSecret(e.Source), "the Secret %s has no key for %s, which would be %s.%s Paste the secret "+
		"of the sender, and end with ctrl-D",
		secretName, e.Source, strings.Join(e.source.Status.SecretKeys, " or "), has)
}

// isKnownKey reports whether Postern reads a key, for any sender or target.
func isKnownKey(key string) bool {
	if isOneOf(key, "hmac", "token") || strings.HasSuffix(key, "-registry-url") {
		return true
	}
	for _, resource := range []string{"gatewaysyncs.", "applications."} {
		if strings.HasPrefix(key, resource) && (strings.HasSuffix(key, ".hmac") || strings.HasSuffix(key, ".token")) {
			return true
		}
	}
	return slices.ContainsFunc(payload.Sources(), func(source string) bool { return payload.SecretKey(source) == key })
}

// isMeant reports whether a key that Postern does not read may be meant for the sender: it names it, or it is the only
// key.
func (e *examiner) isMeant(key string) bool {
	name := strings.TrimSuffix(e.Source, ".io")
	return strings.Contains(strings.ToLower(key), name) || len(e.keys) == 1
}

// elsewhere names a namespace that has the Secret, which may be in the wrong one.
func (e *examiner) elsewhere(ctx context.Context) string {
	secrets, err := e.metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).List(ctx,
		metav1.ListOptions{FieldSelector: "metadata.name=" + secretName, Limit: 1})
	if err != nil || len(secrets.Items) == 0 {
		return ""
	}
	return ". (There is one in " + secrets.Items[0].Namespace + ", which is not valid here)"
}

// setSecret returns the command that sets the secret of a sender or, if the target accepts only its own, of the target.
// It reads the secret from standard input.
func (e *examiner) setSecret(source string) string {
	if source == "" {
		source = "SOURCE"
	}
	words := []string{"secret", "set", source}
	if len(e.ownKeys()) > 0 {
		words = append(words, e.targetName())
	}
	return e.PluginCommand(append(words, "--from-file=-", "--replace")...)
}

// showKey returns the command that prints the value of a key, for the user to give it to the sender.
func (e *examiner) showKey(key string) string {
	return e.kubectlHere("get", "secret", secretName,
		"--output=go-template={{index .data "+fmt.Sprintf("%q", key)+" | base64decode}}")
}

// list returns texts in one line.
func list(texts []string) string { return strings.Join(texts, ", ") }
