// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhooksource

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/pkg/credential"
)

var update = flag.Bool("update", false, "rewrite the tables of senders in the documentation")

const (
	beginTable = "<!-- BEGIN GENERATED: senders -->\n\n"
	endTable   = "\n<!-- END GENERATED: senders -->\n"
)

// methodNames are the methods in the words of the documentation.
var methodNames = map[credential.Method]string{
	credential.MethodServiceAccount: "ServiceAccount token",
	credential.MethodOIDC:           "OIDC token",
	credential.MethodHMAC:           "signature",
	credential.MethodToken:          "secret in a header",
	credential.MethodQueryToken:     "`?secret=`",
}

// sendersTable returns the table of all senders, with the methods that they have by default.
func sendersTable() string {
	var b strings.Builder
	b.WriteString("| Sender | Requests | Authenticates with | Secret keys |\n| --- | --- | --- | --- |\n")
	verifier := credential.NewVerifier(credential.Config{IdentityIsCredential: true}, &credential.Secrets{})
	for _, source := range (Senders{verifier}).Describe("demo") {
		var methods []string
		for _, method := range source.Status.Methods {
			methods = append(methods, methodNames[credential.Method(method)])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", source.Name, source.Status.Requests, strings.Join(methods, ", "),
			strings.Join(source.Status.SecretKeys, "`, `"))
	}
	return b.String()
}

// The table is on each page with the markers. -update writes it.
func TestDocs_TableOfSenders(t *testing.T) {
	found := false
	err := filepath.WalkDir("../../../docs", func(page string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(page) != ".md" {
			return err
		}
		content, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		before, rest, begins := strings.Cut(string(content), beginTable)
		table, after, ends := strings.Cut(rest, endTable)
		if !begins || !ends {
			return nil
		}
		found = true
		if *update {
			table = sendersTable()
			return os.WriteFile(page, []byte(before+beginTable+table+endTable+after), 0o644)
		}
		if diff := cmp.Diff(sendersTable(), table); diff != "" {
			t.Errorf("%s: run the test with -update (-want +got):\n%s", page, diff)
		}
		return nil
	})
	if err != nil || !found {
		t.Errorf("no page has the table (error %v)", err)
	}
}
