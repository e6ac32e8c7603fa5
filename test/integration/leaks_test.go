// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"postern.dev/postern/test/testcluster"
)

// posternAuditLog is Postern's own audit log, which is optional.
const posternAuditLog = "postern-audit.log"

// verboseFlags are flags for the most verbose logs. At -v=8 and above client-go logs all responses, including Secrets;
// this is true of every program with client-go.
var verboseFlags = []string{
	"-v=7",
	"--audit-policy-file=audit-policy.yaml", "--audit-log-path=" + posternAuditLog, "--audit-log-maxsize=512",
}

// place is a location that secrets could leak to.
type place struct {
	name    string
	content []byte
	// stored is true for data stored on behalf of a sender, which must not even have signatures.
	stored bool
	// ofCluster is true if the kube-apiserver writes it, including the ServiceAccount tokens that it issues.
	ofCluster bool
	// wantMarker is a harmless text that must be present; otherwise the search is not conclusive.
	wantMarker string
}

// findLeaks searches all places for the secrets of all tests, and returns an error for each place that has any. The
// suite must have been started with verboseFlags.
func (s *suite) findLeaks(ctx context.Context) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	marker := "marker-" + strings.ToLower(rand.Text())
	if err := s.leaveMarker(ctx, marker); err != nil {
		return fmt.Errorf("could not leave a marker to find: %w", err)
	}
	var places []place
	var missing error
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		var err error
		if places, err = s.places(ctx, marker); err != nil {
			return false, err
		}
		missing = missingMarkers(places)
		return missing == nil, nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("could not look for leaked secrets: %w", err), missing)
	}
	var leaks []error
	for _, p := range places {
		leaks = append(leaks, p.leak())
	}
	return errors.Join(leaks...)
}

// leaveMarker delivers a ref, in a namespace of the same name, that must be found in all places. The namespace is not
// removed.
func (s *suite) leaveMarker(ctx context.Context, marker string) error {
	secret, body := newSecret(), `{"ref":"`+marker+`"}`
	for _, manifest := range []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: " + marker + "}",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: postern-webhook-secrets}\nstringData: {hmac: " + secret + "}",
		testcluster.GatewaySync("web"),
	} {
		if _, err := s.Kubectl(ctx, manifest, "--namespace="+marker, "create", "--filename=-"); err != nil {
			return err
		}
	}
	client, err := rest.HTTPClientFor(s.RESTConfig())
	if err != nil {
		return err
	}
	administrator := sender{Sender: testcluster.Sender{Client: client, Base: s.Address() +
		testcluster.NamespacePath(marker)}}
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		got, err := administrator.post(ctx, gatewaySyncPath("web"), []byte(body), signed(secret, body))
		if err == nil && got.code != http.StatusAccepted && got.code != http.StatusUnauthorized { // not accepted yet
			err = fmt.Errorf("got %d: %s", got.code, got.body)
		}
		return got.code == http.StatusAccepted, err
	})
}

func (s *suite) places(ctx context.Context, marker string) ([]place, error) {
	readers := []func(context.Context, string) ([]place, error){s.logs, s.storage, s.objectPlaces, s.metricsPlace}
	var places []place
	for _, read := range readers {
		more, err := read(ctx, marker)
		if err != nil {
			return nil, err
		}
		places = append(places, more...)
	}
	return places, nil
}

func (s *suite) logs(_ context.Context, marker string) ([]place, error) {
	log, err1 := os.ReadFile(s.postern.LogFile())
	audit, err2 := os.ReadFile(filepath.Join(s.Dir(), posternAuditLog))
	cluster, err3 := os.ReadFile(s.AuditLog())
	// The kube-apiserver logs Secrets of administrators and the URLs of senders before Postern gets the request.
	cluster, err4 := withoutSecretsOfOthers(cluster)
	return []place{
		{name: "Postern's log", content: log, wantMarker: marker},
		{name: "Postern's audit log", content: audit, wantMarker: marker},
		{name: "the cluster's audit log", content: cluster, ofCluster: true, wantMarker: marker},
	}, errors.Join(err1, err2, err3, err4)
}

// storage returns the files of Postern's etcd, including deleted data.
func (s *suite) storage(_ context.Context, marker string) ([]place, error) {
	var content []byte
	err := filepath.WalkDir(s.EtcdDir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.ReadFile(path)
		content = append(content, file...)
		return err
	})
	return []place{{name: "Postern's etcd", content: content, stored: true, wantMarker: marker}}, err
}

// objectPlaces returns the objects that Postern writes or that report its work, in all namespaces.
func (s *suite) objectPlaces(ctx context.Context, marker string) ([]place, error) {
	var places []place
	for _, resource := range []schema.GroupVersionResource{
		{Group: "postern.dev", Version: "v1alpha1", Resource: "webhookdeliveries"},
		{Group: "events.k8s.io", Version: "v1", Resource: "events"},
		gatewaySyncs, applications,
	} {
		list, err := s.Objects.Resource(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		content, err := list.MarshalJSON()
		if err != nil {
			return nil, err
		}
		p := place{name: "the objects of " + resource.GroupResource().String(), content: content, stored: true,
			wantMarker: marker}
		if resource == applications {
			p.wantMarker = "ApplicationList" // the marker was not delivered to an Application
		}
		places = append(places, p)
	}
	return places, nil
}

func (s *suite) metricsPlace(ctx context.Context, _ string) ([]place, error) {
	client, err := discovery.NewDiscoveryClientForConfig(s.postern.DirectConfig())
	if err != nil {
		return nil, err
	}
	content, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	// Payloads must not create metrics, so the marker can't be here.
	return []place{{name: "Postern's metrics", content: content, stored: true,
		wantMarker: "postern_deliveries_total{"}}, err
}

func missingMarkers(places []place) error {
	var missing []error
	for _, p := range places {
		if !bytes.Contains(p.content, []byte(p.wantMarker)) {
			missing = append(missing, fmt.Errorf("%s does not have the marker %s", p.name, p.wantMarker))
		}
	}
	return errors.Join(missing...)
}

// leak returns an error with the context if the place has a secret.
func (p place) leak() error {
	for _, form := range sigilForms() {
		if at := bytes.Index(p.content, []byte(form)); at >= 0 {
			return fmt.Errorf("a webhook secret is in %s: %q", p.name, around(p.content, at))
		}
	}
	if at := bytes.Index(p.content, []byte(tokenSigil)); at >= 0 && !p.ofCluster {
		return fmt.Errorf("a ServiceAccount token is in %s: %q", p.name, around(p.content, at))
	}
	if !p.stored {
		return nil
	}
	if found := signatures.findIn(p.content); found != "" {
		return fmt.Errorf("a signature is in %s: %q", p.name,
			around(p.content, bytes.Index(bytes.ToLower(p.content), []byte(found))))
	}
	return nil
}

func around(content []byte, at int) []byte {
	const context = 200
	return content[max(0, at-context):min(len(content), at+context)]
}
