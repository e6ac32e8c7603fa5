// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"postern.dev/postern/test/controlplane"
)

// stateDir is created by up and removed by down, in the root of the checkout, where make runs this program.
const stateDir = ".local"

// startTimeout is long enough for a busy machine; an idle one takes some seconds.
const startTimeout = 5 * time.Minute

// up starts the components that are not running. It always restarts Postern, to run the current build.
func up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	fmt.Println("Starting etcd, a kube-apiserver and Postern (about 10 seconds)...")
	cluster, err := controlplane.Start(ctx, controlplane.Options{Dir: stateDir, Detached: true})
	if err != nil {
		return err
	}
	if err := cluster.Install(ctx); err != nil {
		return err
	}
	if err := applySamples(ctx, cluster); err != nil {
		return err
	}
	postern, err := cluster.StartPostern(ctx, controlplane.PosternOptions{})
	if err != nil {
		return err
	}
	return welcome.Execute(os.Stdout, map[string]string{
		"Cluster":    cluster.Address(),
		"Postern":    postern.Address(),
		"Dir":        stateDir,
		"Kubeconfig": cluster.AdminKubeconfig(),
		"CA":         cluster.CAFile(),
		"Programs":   controlplane.ProgramsDir(),
		"Path":       posternPath("gatewaysyncs", "plant"),
		"Delivery":   filepath.Join(samplesDir, "delivery.yaml"),
	})
}

// down stops the components. It returns no error if none are running.
func down(ctx context.Context, keep bool) error {
	if err := controlplane.StopDetached(ctx, stateDir); err != nil {
		return err
	}
	if keep {
		fmt.Printf("Stopped. The state is still in %s.\n", stateDir)
		return nil
	}
	if err := os.RemoveAll(stateDir); err != nil {
		return err
	}
	fmt.Printf("Stopped. %s is removed.\n", stateDir)
	return nil
}

var welcome = template.Must(template.New("welcome").Parse(`
Postern is up.

  kube-apiserver  {{.Cluster}}
  Postern         {{.Postern}} (only for the kube-apiserver)
  logs            {{.Dir}}/postern.log, {{.Dir}}/kube-apiserver.log, {{.Dir}}/audit.log

Look around as the administrator:

  export KUBECONFIG={{.Kubeconfig}}
  export PATH=$PWD/{{.Programs}}:$PATH
  kubectl get gatewaysyncs,applications --namespace demo

Deliver a webhook as a CI job, with the token of a ServiceAccount that may deliver to this one object:

  TOKEN=$(kubectl create token ci --namespace demo)
  curl --cacert {{.CA}} \
    --header "Authorization: Bearer $TOKEN" --header "Content-Type: application/json" \
    --data '{"ref":"v1.1.0"}' \
    {{.Cluster}}{{.Path}}

See the outcome, and deliver by hand:

  kubectl get whd --namespace demo --output wide
  kubectl create --filename {{.Delivery}}
  kubectl get gatewaysync plant --namespace demo --output yaml

"make up" again restarts Postern after a change; "make down" stops everything. "make demo" shows more.
`))
