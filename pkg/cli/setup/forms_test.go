// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/pkg/payload"
)

// readPage returns a page of docs/senders as one line without emphasis.
func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../docs/senders", name+".md"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(strings.NewReplacer("*", "", "`", "").Replace(string(text))), " ")
}

// ownWords are labels that no page has, because the page shows a file instead, which has them.
var ownWords = map[string]bool{
	"url": true, "URL": true, headerName: true, secretName: true, "headers: " + secretName: true,
	"the sink": true, "the job": true, "X-Hub-Signature-256": true, "headers": true,
}

// Each type of sender has a form, with the words of its page.
func TestForms_HaveTheWordsOfThePages(t *testing.T) {
	for _, sender := range payload.Senders() {
		form, found := forms[sender.Name]
		if !found {
			t.Errorf("%s has no form", sender.Name)
			continue
		}
		page := readPage(t, form.Page)
		if strings.Contains(page, "(github.md#set-it-up)") {
			page += readPage(t, "github")
		}
		words := []string{"# " + form.Title}
		for place := range strings.SplitSeq(form.Where, " → ") {
			words = append(words, strings.TrimPrefix(place, "artifacts/senders/"))
		}
		for _, field := range form.Fields {
			words = append(words, field.Label)
		}
		for _, word := range words {
			if !ownWords[word] && !strings.Contains(page, word) {
				t.Errorf("docs/senders/%s.md does not have %q", form.Page, word)
			}
		}
		if form.CAPlace == "" && form.CA == caYes {
			t.Errorf("%s trusts a CA, but its form does not say where", sender.Name)
		}
	}
	if len(forms) != len(payload.Senders()) {
		t.Errorf("there are %d forms, want %d", len(forms), len(payload.Senders()))
	}
}

// The table of senders says which can trust a private CA.
func TestForms_TrustWhatTheTableSays(t *testing.T) {
	table, err := os.ReadFile("../../../docs/senders/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == 7 {
			rows[strings.Trim(cells[2], " `")] = strings.TrimSpace(cells[5])
		}
	}
	for source, form := range forms {
		says, found := rows[source]
		if !found || !strings.HasSuffix(says, string(form.CA)) {
			t.Errorf("%s: the table says %q of a private CA, the form %q", source, says, form.CA)
		}
	}
}

// The default method of a form is what the page sets up: a token or a secret.
func TestForms_MethodIsThatOfThePage(t *testing.T) {
	for source, form := range forms {
		page := readPage(t, form.Page)
		withToken := strings.Contains(page, "credentials.md#a-sender-with-a-token-of-the-cluster)<!-- run -->")
		withSecret := strings.Contains(page, "credentials.md#a-sender-without-one)<!-- run -->")
		if byToken := form.Method == byToken; byToken && !withToken || !byToken && !withSecret {
			t.Errorf("%s authenticates by %s, which docs/senders/%s.md does not set up", source, form.Method, form.Page)
		}
		if MethodsOf(source)[0] != form.Method {
			t.Errorf("%s: the first method is %s, want %s", source, MethodsOf(source)[0], form.Method)
		}
	}
}

// Each field has a value for the sender, and each method one with a credential.
func TestForms_EachMethodHasItsCredential(t *testing.T) {
	for source, form := range forms {
		for _, method := range MethodsOf(source) {
			var values []string
			for _, field := range form.Fields {
				if field.Method == "" || field.Method == method {
					values = append(values, field.Value)
				}
			}
			all := strings.Join(values, "\n")
			credential := "$SECRET"
			switch method {
			case byToken:
				credential = "$TOKEN"
			case byOIDC:
				credential = "$ID_TOKEN"
			default: // a webhook secret
			}
			if !strings.Contains(all, "$URL") || !strings.Contains(all, credential) {
				t.Errorf("the form of %s by %s has %q, and lacks the URL or %s", source, method, values, credential)
			}
		}
	}
}
