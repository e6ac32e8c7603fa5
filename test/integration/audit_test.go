// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

var errNotAudited = errors.New("the request is not in the audit log")

// auditEvents returns the completed events in the cluster's audit log that contain text.
func (s *suite) auditEvents(t *testing.T, text string) []auditv1.Event {
	t.Helper()
	log, err := os.ReadFile(s.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	var found []auditv1.Event
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // an incomplete line is still being written
		}
		if !bytes.Contains(line, []byte(text)) {
			continue
		}
		event := auditv1.Event{}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		if event.Stage == auditv1.StageResponseComplete {
			found = append(found, event)
		}
	}
	return found
}

func TestAudit_NoBodyInClusterLog(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", nil)
	ci := w.ci()
	inBody, inConfigMap := "body-"+w.Namespace, "configmap-"+w.Namespace

	var auditIDs []string
	for _, path := range []string{gatewaySyncPath("web"), applicationPath("shop")} {
		for body, code := range map[string]int{
			`{"ref":"v1","x":"` + inBody + `"}`: http.StatusAccepted,
			`{"nothing":"` + inBody + `"}`:      http.StatusBadRequest,
		} {
			got := ci.mustPost(t, path, body, nil, code)
			auditIDs = append(auditIDs, got.header.Get("Audit-Id"))
		}
	}
	// This request is audited with its body. It shows that the logs have bodies, and all earlier requests.
	w.kubectl("", "create", "configmap", "audited", "--from-literal=x="+inConfigMap)
	w.deliver(delivery("audited", toWeb+`, headers: {User-Agent: "`+inConfigMap+`"}, payload: {"ref": "v2"}`))

	for name, file := range map[string]string{"the cluster's": w.AuditLog(),
		"Postern's": filepath.Join(w.Dir(), posternAuditLog)} {
		var log []byte
		w.eventually(func() (err error) {
			if log, err = os.ReadFile(file); err == nil && !bytes.Contains(log, []byte(inConfigMap)) {
				err = fmt.Errorf("%s audit log has no body", name)
			}
			return err
		})
		if at := bytes.Index(log, []byte(inBody)); at >= 0 {
			t.Errorf("%s audit log has the body of a delivery: %s", name, around(log, at))
		}
		for _, id := range auditIDs {
			if id == "" || !bytes.Contains(log, []byte(id)) {
				t.Errorf("%s audit log has no event %q", name, id)
			}
		}
	}
}

// withoutSecretsOfOthers removes only the events of Secrets, and the secret in the query of a URL, from an audit log.
func withoutSecretsOfOthers(log []byte) ([]byte, error) {
	kept := make([]byte, 0, len(log))
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // an incomplete line is still being written
		}
		if !bytes.Contains(line, []byte(sigil)) && !bytes.Contains(line, []byte(`"secrets"`)) {
			kept = append(kept, line...)
			continue
		}
		event := auditv1.Event{}
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("could not read the audit log: %w", err)
		}
		if ref := event.ObjectRef; ref != nil && ref.APIGroup == "" && ref.Resource == "secrets" {
			continue
		}
		event.RequestURI = withoutQuerySecret(event.RequestURI)
		line, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		kept = append(append(kept, line...), '\n')
	}
	return kept, nil
}

// withoutQuerySecret removes all pairs named secret, even from an invalid query.
func withoutQuerySecret(uri string) string {
	path, query, _ := strings.Cut(uri, "?")
	pairs := slices.DeleteFunc(strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }),
		func(pair string) bool {
			return strings.HasPrefix(pair, "secret=") || strings.HasPrefix(pair, "%73ecret=")
		})
	return path + "?" + strings.Join(pairs, "&")
}
