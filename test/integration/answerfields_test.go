// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// pushOfTag is a push of a tag to the repository of plant.
const pushOfTag = `{"ref":"refs/tags/v1.0.0","after":"1111111111111111111111111111111111111111",` +
	`"repository":{"clone_url":"` + plantRepository + `"}}`

// A webhook secret permits its owner to request refs. The answer must not reveal which targets exist, what they have or
// would do, or which other senders deliver. A dry run, which leaves no record of the request, is not permitted.
func TestAnswer_SecretOnlyShowsOwnOutcome(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))
	w.Create(gatewaySyncs, strings.Replace(testcluster.GatewaySync("secret-project-x"), "{name: secret-project-x}",
		"{name: secret-project-x, annotations: {postern.dev/follow-tags: 'no constraint, call alice@example.com'}}", 1))
	w.allow(unauthenticated, "webhooksources")
	signedPush := signed(secret, pushOfTag)
	signedPush["X-GitHub-Event"] = "push"
	w.untilAccepted(anonymous, sourcePath("github"), bySignature(secret))
	trier := w.trier()
	w.eventually(func() error { // until Postern has the target in its cache
		got, err := trier.post(t.Context(), sourcePath("github")+dryRun, []byte(pushOfTag),
			map[string]string{"X-GitHub-Event": "push"})
		if err := errors.Join(err, answeredWith(http.StatusAccepted)(got)); err != nil {
			return err
		}
		if !strings.Contains(string(got.body), "alice@example.com") {
			return fmt.Errorf("the answer to an authenticated sender does not have the target: %s", got.body)
		}
		return nil
	})
	ci := w.ci()
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"internal-branch"}`, nil, http.StatusAccepted)

	release := `{"action":"published","release":{"tag_name":"v9"}}`
	numbered := func(body string) map[string]string {
		header := signed(secret, body)
		header["X-GitHub-Event"], header["X-GitHub-Delivery"] = "release", "guess-me"
		return header
	}
	ci.mustPost(t, gatewaySyncPath("web"), release, numbered(release), http.StatusAccepted)

	bySource := anonymous.mustPost(t, sourcePath("github"), pushOfTag, signedPush, http.StatusAccepted)
	byTarget := anonymous.mustPost(t, gatewaySyncPath("web"), anyBody, signed(secret, anyBody), http.StatusAccepted)
	repeat := anonymous.mustPost(t, gatewaySyncPath("web"), release, numbered(release), http.StatusAccepted)
	for name, got := range map[string]answer{"by source": bySource, "by target": byTarget, "a repeat": repeat} {
		for _, private := range []string{"secret-project-x", "alice", "internal-branch", "serviceaccount",
			"previousRef", "auditID", "uid", "targets"} {
			if strings.Contains(string(got.body), private) {
				t.Errorf("%s: the answer has %q: %s", name, private, got.body)
			}
		}
	}
	want := &v1alpha1.WebhookDelivery{}
	want.Kind, want.APIVersion, want.Namespace, want.Name = "WebhookDelivery", "postern.dev/v1alpha1", w.Namespace,
		byTarget.returned(t).Name
	want.Spec = v1alpha1.WebhookDeliverySpec{
		Source: "generic", Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "web"},
		Events: []v1alpha1.DeliveryEvent{{Source: "generic", Event: "request", Ref: "v1"}},
	}
	want.Status = v1alpha1.WebhookDeliveryStatus{Phase: v1alpha1.DeliveryApplied, Reason: "Requested"}
	if diff := cmp.Diff(want, byTarget.returned(t)); diff != "" {
		t.Errorf("by target (-want +got):\n%s", diff)
	}
	if got := repeat.returned(t).Status.Reason; got != "AlreadyDelivered" {
		t.Errorf("a repeat: got reason %s, want AlreadyDelivered", got)
	}
	// Permission to deliver does not include reading at any path.
	for _, path := range []string{
		gatewaySyncPath("web"), sourcePath("github"), "webhookdeliveries", "webhookdeliveries/" +
			byTarget.returned(t).Name, "webhooksources", "webhooksources/github",
	} {
		got, err := anonymous.send(t.Context(), http.MethodGet, path, http.NoBody, nil)
		if err := errors.Join(err, answeredWith(http.StatusForbidden)(got)); err != nil {
			t.Errorf("GET %s: %v", path, err)
		}
	}
	// The record has everything, for readers with permission.
	if record := bySource.delivery(t); record.Status.Sender.Name != "system:anonymous" ||
		len(record.Status.Targets) == 0 {
		t.Errorf("the record by source has the status %+v", record.Status)
	}
}

func TestAnswer_DryRunNeedsIdentityAndIsLogged(t *testing.T) {
	secret := newSecret()
	w, anonymous := guarded(t, map[string]string{"hmac": secret}, bySignature(secret))
	w.allow(unauthenticated, "webhooksources")
	w.untilAccepted(anonymous, sourcePath("generic"), bySignature(secret))
	for _, path := range []string{gatewaySyncPath("web"), gatewaySyncPath("missing"), sourcePath("generic")} {
		got := anonymous.mustPost(t, path+dryRun, anyBody, signed(secret, anyBody), http.StatusUnauthorized)
		mustBeIn(t, got.status(t).Message, "a dry run is made only for callers that the cluster has authenticated")
	}
	ref := "tried-" + w.Namespace
	w.ci().mustPost(t, gatewaySyncPath("web")+dryRun, `{"ref":"`+ref+`"}`, nil, http.StatusAccepted)
	w.mustHaveRecords()
	w.eventually(func() error {
		log, err := os.ReadFile(w.postern.LogFile())
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "dry run") && strings.Contains(line, ref) &&
				strings.Contains(line, "system:serviceaccount:") && strings.Contains(line, "Applied") {
				return nil
			}
		}
		return errors.Join(err, errors.New("the log has no line with the sender, the ref and the outcome of the dry "+
			"run"))
	})
}

// The request of a binary-mode CloudEvent is in headers, which no signature covers.
func TestSignature_ReplayRequestsNothingElse(t *testing.T) {
	w := newWorld(t)
	w.runningShop("shop", "quay.io/example/shop:1.0.0",
		"argocd-image-updater.argoproj.io/image-list: quay.io/example/shop")
	secret := newSecret()
	w.secret(map[string]string{"webhook.cloudevents-secret": secret, "webhook.nexus-secret": secret})
	w.allow(unauthenticated, "webhooksources")
	anonymous := w.anonymous()
	w.untilAccepted(anonymous, sourcePath("cloudevents"), byToken("X-Webhook-Secret", secret))
	before := w.Get(applications, "shop")
	for i, tag := range []string{"1.0.1", "9.9.9"} {
		header := signed(secret, `{"note": "x"}`)
		header["Ce-Specversion"], header["Ce-Id"], header["Ce-Type"] = "1.0", fmt.Sprint(i), "org.example.image.push"
		header["Ce-Source"], header["Ce-Subject"] = "https://quay.io", "example/shop:"+tag
		anonymous.mustPost(t, sourcePath("cloudevents"), `{"note": "x"}`, header, http.StatusUnauthorized)
	}
	pushed := `{"repositoryName":"docker","action":"CREATED","component":{"format":"docker",` +
		`"name":"example/shop","version":"9.9.9"}}`
	got := anonymous.mustPost(t, sourcePath("nexus")+"?registry_url=quay.io", pushed, byNexusSignature(secret)(pushed),
		http.StatusBadRequest)
	mustBeIn(t, got.status(t).Message, "webhook.nexus-registry-url")
	w.mustBeUntouched(applications, before)
	w.mustHaveRecords()
}
