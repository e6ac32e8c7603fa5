// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package observability

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const repository = "../.."

// defined returns Postern's own metrics.
func defined(t *testing.T) []Metric {
	t.Helper()
	metrics, err := Definitions(filepath.Join(repository, "cmd"), filepath.Join(repository, "pkg"))
	if err != nil {
		t.Fatal(err)
	}
	if len(metrics) == 0 {
		t.Fatal("no metrics were found in the source")
	}
	return metrics
}

// Source: https://prometheus.io/docs/practices/naming and the conventions of Kubernetes.
func TestMetrics_FollowNamingConvention(t *testing.T) {
	name := regexp.MustCompile(`^postern(_[a-z]+)+$`)
	units := regexp.MustCompile(`_(seconds|bytes|info|total)$|_timestamp_seconds$`)
	countable := []string{"postern_stored_deliveries", "postern_pending_deliveries",
		"postern_largest_namespace_pending_deliveries", "postern_held_deliveries",
		"postern_largest_namespace_held_deliveries"}
	yesOrNo := []string{"postern_leader", "postern_etcd_writable"}
	known := strings.Join(append(countable, yesOrNo...), " ")
	seen := map[string]bool{}
	for _, m := range defined(t) {
		switch {
		case !name.MatchString(m.Name):
			t.Errorf("%s: not a name of words in lower case that begins with postern_", m.Name)
		case (m.Type == "counter") != strings.HasSuffix(m.Name, "_total"):
			t.Errorf("%s: it is a %s; only counters end in _total", m.Name, m.Type)
		case !units.MatchString(m.Name) && !strings.Contains(known, m.Name):
			t.Errorf("%s: it has no unit", m.Name)
		case seen[m.Name]:
			t.Errorf("%s: it is defined twice", m.Name)
		}
		seen[m.Name] = true
		if m.Stability != "ALPHA" && m.Stability != "BETA" && m.Stability != "STABLE" {
			t.Errorf("%s: it has the stability %q", m.Name, m.Stability)
		}
		if !strings.HasSuffix(m.Help, ".") || strings.TrimSpace(m.Help) != m.Help {
			t.Errorf("%s: its help is not a sentence: %q", m.Name, m.Help)
		}
	}
}

const preface = `# Metrics

Postern serves these at ` + "`/metrics`" +
	`, in addition to the metrics of every Kubernetes API server. This page is generated from the source by
` + "`go test ./test/observability -update`" + `.

A ` + "`BETA`" + ` metric keeps its name and its meaning; it may get more labels. An ` + "`ALPHA`" +
	` metric may change.

| Metric | Type | Labels | Stability | Meaning |
| --- | --- | --- | --- | --- |
`

const valuesOfLabels = `
| Label | Values |
| --- | --- |
| ` + "`source`" + ` | a type of sender, as ` + "`kubectl get webhooksources`" + ` lists them, or ` + "`unknown`" +
	`; never what a sender claims to be |
| ` + "`method`" + ` | ` + "`ServiceAccount`, `User`, `OIDC`, `HMAC`, `Token`, `QueryToken`, `None`" +
	`; empty if the sender is not authenticated |
| ` + "`outcome`" + ` | a phase: ` + "`Applied`, `Superseded`, `Ignored`, `Pending`, `Held`, `Failed`" +
	`. Or, without a record: ` + "`Rejected`" + ` (missing or wrong credential), ` +
	"`Invalid`" + ` (can never succeed unchanged), ` + "`Denied`" + ` (by a policy), ` + "`NotFound`" +
	` (no such target), ` + "`Refused`" + ` (more than the share of its namespace, answered 429), ` + "`Unavailable`" +
	` (answered 503) |
| ` + "`reason`" + ` | ` + "`NoCredential`, `NoSecretConfigured`, `SignatureMismatch`, `TokenMismatch`, " +
	"`MalformedSignature`, `TimestampOutOfWindow`, `SHA1Signature`, `SignatureNotCounted`, `RepeatedHeader`, " +
	"`QueryTokenNotAllowed`, `NoIdentity`, `SenderLeft`; of OIDC tokens `MalformedToken`, `TokenTooLong`, " +
	"`TokenEncrypted`, `TokenAlgorithm`, `TokenExpired`, `TokenNotYetValid`, `InvalidConfiguration`, " +
	"`IssuerNotTrusted`, `KeysUnknown`, `KeyNotFound`, `TokenSignatureMismatch`, `AudienceNotAccepted`, " +
	"`ClaimsNotAccepted`" + ` |
| ` + "`result`" + ` | ` + "`success`, `error`" + ` |
| ` + "`stage`" + ` | ` + "`verify`, `decode`, `admit`, `resolve`, `write`, `record`" +
	`; the last two overlap if the write is slow, and deliveries that are created as objects are recorded first |
| ` + "`certificate`" + ` | ` + "`serving`" + `: the API server's; ` + "`ca`" +
	`: the CA that signs it, if Postern generated it; ` + "`receiver`" + `: the classic receiver's, if it serves TLS |
| ` + "`cause`" + ` | ` + "`RequestsInFlight`, `PayloadBytes`, `Backlog`, `Rate`, `NamespacePending`, " +
	"`NamespaceBytes`, `NamespaceRequests`, `NamespaceWork`, `DirectRate`" + ` (429), ` + "`Storage`" + ` (503), ` +
	"`PayloadTimeout`" + ` (504), ` + "`Direct`" + ` (401, 403) |
`

func TestMetrics_ReferenceIsCurrent(t *testing.T) {
	var page strings.Builder
	page.WriteString(preface)
	for _, m := range defined(t) {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Type, labels, m.Stability, m.Help)
	}
	page.WriteString(valuesOfLabels)

	file := filepath.Join(repository, "docs", "metrics.md")
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page.String(), string(got)); diff != "" {
		t.Errorf("docs/metrics.md is out of date: run go test ./test/observability -update (-want +got):\n%s", diff)
	}
}
