// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

// signingToken is a secret that is a signing token, and signingKey is the key in it.
const (
	signingKey   = "a key that is in a signing token"
	proofsOfDocs = "../../docs/credentials.md"
)

var signingToken = "whsec_" + base64.StdEncoding.EncodeToString([]byte(signingKey))

// proofs are the ways to present a secret, as the rows of the table in the documentation.
var proofs = []struct {
	row  string
	show func(in *Request)
	// method is how it is accepted.
	method credential.Method
}{
	{"identity", func(in *Request) { in.User = ci }, credential.MethodServiceAccount},
	{
		"HMAC-SHA256 of the body", func(in *Request) { in.Header.Set("X-Hub-Signature-256", sign(in.Body)) },
		credential.MethodHMAC,
	},
	{"signing token", func(in *Request) {
		at := fmt.Sprint(now.Unix())
		in.Header.Set("Webhook-Id", "1")
		in.Header.Set("Webhook-Timestamp", at)
		in.Header.Set("Webhook-Signature", "v1,"+signedBy(signingKey, "1."+at+"."+string(in.Body)))
	}, credential.MethodHMAC},
	{"`X-JFrog-Event-Auth`, signed", func(in *Request) {
		in.Header.Set("X-Jfrog-Event-Auth", strings.TrimPrefix(sign(in.Body), "sha256="))
	}, credential.MethodHMAC},
	{"HMAC-SHA1, Nexus' header", func(in *Request) {
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write(in.Body)
		in.Header.Set("X-Nexus-Webhook-Signature", hex.EncodeToString(mac.Sum(nil)))
	}, credential.MethodHMAC},
	{"token in a header", func(in *Request) { in.Header.Set("X-Webhook-Secret", secret) }, credential.MethodToken},
	{"`?secret=`", func(in *Request) { in.QuerySecret = secret }, credential.MethodQueryToken},
}

// provers lists, for each type of sender, which proofs are accepted, in the order of proofs. An identity and a token
// cover the whole request, so all types accept them.
var provers = map[string]string{
	"acr":              "y----y-", // does not sign
	"aliyun-acr":       "y----yy", // does not sign, sets no header
	"argocd":           "y----y-", // does not sign
	"azure-devops":     "y----y-", // does not sign
	"bitbucket":        "yy---y-",
	"bitbucket-server": "yy---y-",
	"cloudevents":      "y----yy", // does not sign; the headers of a binary event contain its request
	"distribution":     "y----y-", // does not sign
	"docker.io":        "y----yy", // does not sign, sets no header
	"ecr":              "y----y-", // does not sign
	"gar":              "y----yy", // does not sign, sets no header of its own
	"generic":          "yyy--y-", // a script signs as it likes
	"ghcr.io":          "yy---y-",
	"gitea":            "yy---y-",
	"gitea-packages":   "yy---y-",
	"github":           "yy---y-",
	"gitlab":           "yyy--y-", // signs by its signing token alone; a relay signs the body
	"harbor":           "y----y-", // does not sign; may send CloudEvents
	"jfrog":            "y--y-y-", // signs in a header of its own
	"kargo":            "y----y-", // does not sign
	"nexus":            "y---yy-", // signs with SHA-1 alone
	"quay.io":          "y----yy", // does not sign, sets no header
	"zot":              "y----y-", // does not sign; sends binary CloudEvents
}

func TestProofs_BySender(t *testing.T) {
	for _, source := range payload.Sources() {
		counts, listed := provers[source]
		if !listed {
			t.Errorf("provers lacks %s", source)
			continue
		}
		for i, proof := range proofs {
			r := Request{
				Delivery: toAll(), Header: http.Header{}, Body: []byte(`{"any":"body"}`), User: anonymous,
			}
			proof.show(&r)
			r.Delivery.Namespace, r.Delivery.Spec.Source = "all", source
			method, err := pipelineWithEverySecret().verify(t.Context(), &r)
			switch accepted := err == nil; {
			case accepted != (counts[i] == 'y'):
				t.Errorf("%s, by %s: accepted %t (%v), want %t", source, proof.row, accepted, err, counts[i] == 'y')
			case accepted && method != proof.method:
				t.Errorf("%s, by %s: method %s, want %s", source, proof.row, method, proof.method)
			}
		}
	}
}

// The same applies if the source is detected from the body: the proof must be one of that source.
func TestProofs_DetectedSenderOnly(t *testing.T) {
	for source, body := range map[string]string{
		"argocd": `{"app":{"metadata":{"annotations":{"git.ref":"v1"}}}}`,
		"azure-devops": `{"eventType":"git.push","publisherId":"tfs",` +
			`"resource":{"refUpdates":[{"name":"refs/heads/main","newObjectId":"` + revision + `"}]}}`,
		"cloudevents": `{"specversion":"1.0","id":"1","type":"x.image.pushed",` +
			`"source":"https://r.example.com","subject":"a:1"}`,
		"docker.io": docker,
		"generic":   `{"ref":"v1"}`,
		"ghcr.io":   packaged,
		"github":    pushed,
		"jfrog": `{"domain":"docker","event_type":"pushed",` +
			`"data":{"repo_key":"r","path":"a/1/manifest.json","tag":"1"},"jpd_origin":"https://j.example.com"}`,
		"kargo":   promoted,
		"quay.io": two,
	} {
		for i, proof := range proofs {
			in := Request{Header: http.Header{}, Body: []byte(body), User: anonymous}
			proof.show(&in)
			d := toPlant()
			d.Namespace = "all"
			err := pipelineWithEverySecret().receiveOnly(t.Context(), d, in)
			// ?secret= and SHA-1 are read only if the source is known beforehand.
			want := provers[source][i] == 'y' && proof.method != credential.MethodQueryToken
			if accepted := err == nil; accepted != want {
				t.Errorf("%s, by %s: accepted %t (%v), want %t", source, proof.row, accepted, err, want)
			}
			if err == nil && d.Spec.Source != source {
				t.Errorf("%s is detected as %s", source, d.Spec.Source)
			}
		}
	}
}

// The headers of a binary CloudEvent contain the whole request, and no signature covers them.
func TestProofs_NoSignatureForBinaryCloudEvent(t *testing.T) {
	for _, eventType := range []string{
		"org.example.image.push", "zotregistry.image.updated", "harbor.artifact.pushed",
	} {
		for _, source := range append(payload.Sources(), "") {
			for _, named := range []bool{false, true} {
				in := Request{User: anonymous, Body: []byte(`{"note":"x"}`), Header: http.Header{
					"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {eventType}, "Ce-Source": {
						"https://quay.io",
					}, "Ce-Subject": {"a/b:9"},
				}}
				in.Header.Set("X-Hub-Signature-256", sign(in.Body))
				d := toAll()
				if named {
					d = toPlant()
				}
				d.Namespace, d.Spec.Source = "all", source
				if err := pipelineWithEverySecret().receiveOnly(t.Context(), d, in); err == nil {
					t.Errorf("%s as %q: accepted, with the events %v", eventType, source, d.Spec.Events)
				}
			}
		}
	}
}

func TestProofs_DocumentedTable(t *testing.T) {
	docs, err := os.ReadFile(proofsOfDocs)
	if err != nil {
		t.Fatal(err)
	}
	if table := proofsTable(); !strings.Contains(string(docs), table) {
		t.Errorf("%s lacks this table:\n%s", proofsOfDocs, table)
	}
}

// proofsTable lists the types of sender by proof.
func proofsTable() string {
	var b strings.Builder
	b.WriteString("| Proof | Accepted from |\n| --- | --- |\n")
	for i, proof := range proofs {
		var accepted []string
		for _, source := range payload.Sources() {
			if counts := provers[source]; i < len(counts) && counts[i] == 'y' {
				accepted = append(accepted, "`"+source+"`")
			}
		}
		if len(accepted) == len(provers) {
			accepted = []string{"all"}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", proof.row, strings.Join(accepted, ", "))
	}
	return b.String()
}

// pipelineWithEverySecret returns a pipeline whose namespace all has the same secret under each key.
func pipelineWithEverySecret() *pipeline {
	p := newPipeline(credential.Config{
		IdentityIsCredential: true, RequireSecret: true, Now: func() time.Time { return now },
	})
	data := map[string][]byte{}
	for _, key := range []string{"hmac", "token"} {
		data[key] = []byte(secret + "\n" + signingToken)
	}
	for _, source := range payload.Sources() {
		data["webhook."+strings.TrimSuffix(source, ".io")+"-secret"] = []byte(secret + "\n" + signingToken)
	}
	p.Secrets.Set("all", data)
	return p
}

func signedBy(key, message string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
