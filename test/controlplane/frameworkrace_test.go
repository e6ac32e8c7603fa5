// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const raceOfTheFramework = `==================
WARNING: DATA RACE
Write at 0x00c00057e228 by goroutine 60:
  k8s.io/apiserver/pkg/server.(*SecureServingInfo).tlsConfig()
      /root/go/pkg/mod/k8s.io/apiserver@v0.37.1/pkg/server/secure_serving.go:148 +0x17d6
  k8s.io/apiserver/pkg/server.(*SecureServingInfo).Serve()
      /root/go/pkg/mod/k8s.io/apiserver@v0.37.1/pkg/server/secure_serving.go:163 +0x84

Previous read at 0x00c00057e228 by goroutine 208:
  crypto/tls.(*Config).Clone()
      /usr/local/go/src/crypto/tls/common.go:1009 +0x41b
  k8s.io/apiserver/pkg/server/dynamiccertificates.(*DynamicServingCertificateController).syncCerts()
      /root/go/pkg/mod/k8s.io/apiserver@v0.37.1/pkg/server/dynamiccertificates/tlsconfig.go:171 +0xa9

Goroutine 208 (running) created at:
  k8s.io/apiserver/pkg/server.(*SecureServingInfo).tlsConfig()
      /root/go/pkg/mod/k8s.io/apiserver@v0.37.1/pkg/server/secure_serving.go:146 +0x1752
==================
`

func TestFrameworkRace_IgnoresOnlyKnownRace(t *testing.T) {
	readFirst := strings.NewReplacer("Write at", "Previous write at", "Previous read at",
		"Read at").Replace(raceOfTheFramework)
	ours := strings.Replace(raceOfTheFramework, "k8s.io/apiserver/pkg/server.(*SecureServingInfo).tlsConfig()",
		"postern.dev/postern/pkg/servingcert.(*Serving).use()", 1)
	for name, test := range map[string]struct {
		log  string
		from int
		want bool
	}{
		"the framework's":                  {raceOfTheFramework, 0, true},
		"the framework's, the other way":   {readFirst, 0, true},
		"of ours":                          {ours, 0, false},
		"of ours, after the framework's":   {raceOfTheFramework + ours, 0, false},
		"the framework's, of a run before": {raceOfTheFramework + "started again\n", len(raceOfTheFramework), false},
		"none":                             {"could not listen\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "postern.log")
			if err := os.WriteFile(file, []byte(test.log), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := endedByFrameworkRace(file, int64(test.from)); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
