// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/pkg/cli"
)

// instructions runs the command url with a kubeconfig that has more lines for its cluster. The cluster does not exist.
func instructions(t *testing.T, cluster string, args ...string) (Instructions, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, " +
		"namespace: demo}}]\nclusters: [{name: c, cluster: {" + cluster + "}}]\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig = &path
	var out bytes.Buffer
	command := NewURLCommand(&cli.Factory{Flags: flags, IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: &out}})
	command.SetArgs(append(args, "-o=json"))
	command.SilenceErrors, command.SilenceUsage = true, true
	if err := command.ExecuteContext(t.Context()); err != nil {
		return Instructions{}, err
	}
	var got Instructions
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

// unreachable is a cluster at which nothing listens.
const unreachable = `server: "https://127.0.0.1:1/path/"`

func TestURL_OfAServerWithAPath(t *testing.T) {
	const path = "/apis/postern.dev/v1alpha1/namespaces/demo/"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"gs/plant"}, "https://127.0.0.1:1/path" + path + "gatewaysyncs/plant/webhookdeliveries"},
		{[]string{"app/shop", "--source=github"},
			"https://127.0.0.1:1/path" + path + "applications/shop/webhookdeliveries"},
		{[]string{"--source=docker.io", "--server-url=https://deliver.example.com/"},
			"https://deliver.example.com" + path + "webhooksources/docker.io/webhookdeliveries"},
	} {
		got, err := instructions(t, unreachable, c.args...)
		if err != nil || got.URL != c.want {
			t.Errorf("%v: got %s, want %s (error %v)", c.args, got.URL, c.want, err)
		}
	}
}

func TestURL_AsksForTypeOfSender(t *testing.T) {
	for _, c := range []struct {
		args []string
		want bool
	}{{[]string{"gs/plant"}, true}, {[]string{"gs/plant", "--source=github"}, false}} {
		got, err := instructions(t, unreachable, c.args...)
		if asks := strings.Contains(strings.Join(got.Notes, ";"), "with --source=TYPE"); err != nil || asks != c.want {
			t.Errorf("%q: got the notes %q (error %v)", c.args, got.Notes, err)
		}
	}
}

func TestURL_FieldsOfTheMethod(t *testing.T) {
	const url = "https://d.example.com/apis/postern.dev/v1alpha1/namespaces/demo/webhooksources/gitlab/" +
		"webhookdeliveries"
	args := []string{"--source=gitlab", "--server-url=https://d.example.com"}
	trigger := Field{"Trigger", "Releases events, Tag push events, Push events, as needed"}
	for method, want := range map[string]Field{
		"":               {"Secret token", "$SECRET"},
		"HMAC":           {"Signing token", "$SECRET"},
		"ServiceAccount": {"Custom headers", "Authorization: Bearer $TOKEN"},
	} {
		got, err := instructions(t, unreachable, append(args, "--method="+method)...)
		fields := []Field{{"URL", url}, want, trigger}
		if method == "ServiceAccount" {
			fields[1], fields[2] = trigger, want
		}
		if diff := cmp.Diff(fields, got.Fields); diff != "" || err != nil {
			t.Errorf("by %q, error %v (-want +got):\n%s", method, err, diff)
		}
	}
	if _, err := instructions(t, unreachable, append(args, "--method=QueryToken")...); err == nil {
		t.Error("a method that the sender can't use is no error")
	}
}

func TestURL_CertificateIsPublicPrivateOrUnknown(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca := "certificate-authority-data: " + base64.StdEncoding.EncodeToString(certificate)
	file := filepath.Join(t.TempDir(), "ca.crt")
	for _, c := range []struct {
		name, cluster, source, flag, want string
	}{
		{"public", unreachable, "harbor", "--ca-out=" + file, "a public CA suffices"},
		{"private, and the sender can trust it", unreachable + ", " + ca, "harbor", "--ca-out=" + file,
			"give the CA in " + file + " to the sender: Harbor's job service"},
		{"private, and the sender can't trust it", unreachable + ", " + ca, "docker.io", "", "trusts public CAs only"},
		{"private, and verification can be disabled", unreachable + ", " + ca, "github", "",
			"or disable the verification"},
		{"not verified", unreachable + ", insecure-skip-tls-verify: true", "harbor", "", "is unknown"},
		{"of another address", unreachable + ", " + ca, "harbor", "--server-url=https://d.example.com", "a public CA"},
	} {
		args := []string{"--source=" + c.source}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		got, err := instructions(t, c.cluster, args...)
		if err != nil || !strings.Contains(got.Certificate, c.want) {
			t.Errorf("%s: got %q, want %q (error %v)", c.name, got.Certificate, c.want, err)
		}
	}
	if content, err := os.ReadFile(file); err != nil || !bytes.Equal(content, certificate) {
		t.Errorf("the file with the CA has %q (error %v)", content, err)
	}
}

func TestURL_RefusesOtherAddresses(t *testing.T) {
	for _, address := range []string{
		"deliver.example.com", "http://deliver.example.com", "https://", "https://user:word@d.example.com",
		"https://d.example.com?secret=x", "https://d.example.com#x", "https://d.example.com:port",
	} {
		if _, err := instructions(t, unreachable, "gs/plant", "--server-url="+address); err == nil {
			t.Errorf("%s is accepted", address)
		}
	}
}

func TestURL_HasNoCredentialOfTheKubeconfig(t *testing.T) {
	i, err := instructions(t, `server: "https://user:password@cluster.example"`, "gatewaysync/plant", "--source=github")
	if err != nil || !strings.HasPrefix(i.URL, "https://cluster.example/apis/") {
		t.Errorf("got %q (error %v)", i.URL, err)
	}
}
