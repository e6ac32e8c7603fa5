// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"net/http"
	"strings"
	"testing"
)

// Senders whose users choose the headers may give an id. Without one, no two deliveries are the same.
func TestIDHeaders_OfSendersWithoutOwn(t *testing.T) {
	for source, body := range map[string]string{
		"generic": `{"ref": "v1.4.0"}`,
		"kargo":   `{"freight": {"commits": [{"repoURL": "https://git.example.com/plant.git", "tag": "v1.4.0"}]}}`,
		"argocd":  `{"app": {"metadata": {"name": "web", "annotations": {"git.ref": "v1.4.0"}}}}`,
	} {
		for _, test := range []struct {
			header http.Header
			want   string
		}{
			{headers(), ""},
			{headers("Idempotency-Key", "k"), "k"},
			{headers("Webhook-Id", "w"), "w"},
			{headers("Idempotency-Key", "k", "Webhook-Id", "w"), "w"}, // only this one is signed
			{headers("X-GitHub-Delivery", "d", "X-Request-Id", "r"), ""},
		} {
			got, err := Decode(Input{Header: test.header, Body: []byte(body)})
			if err != nil || got.Source != source || got.DeliveryID != test.want || len(got.Events) != 1 ||
				got.Events[0].DeliveryID != test.want {
				t.Errorf("%s with %v: got %+v, %v, want the id %q", source, test.header, got, err, test.want)
			}
			test.header["Idempotency-Key"] = []string{"a", "b"}
			if _, err := Decode(Input{Header: test.header, Body: []byte(body)}); err == nil {
				t.Errorf("%s: accepted two ids", source)
			}
			for _, id := range []string{strings.Repeat("x", 129), "a\tb", "é"} {
				header := headers("Idempotency-Key", id)
				if _, err := Decode(Input{Header: header, Body: []byte(body)}); err == nil {
					t.Errorf("%s: accepted the id %q", source, id)
				}
			}
		}
	}
}
