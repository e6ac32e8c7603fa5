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

// stateDir is what up leaves and down removes, in the root of the checkout, where make runs this program.
const stateDir = ".local"

// startTimeout is long enough for a machine that is busy with other things; a quiet one takes some seconds.
const startTimeout = 5 * time.Minute

// up starts what does not run yet. Postern is started anew, so that it is the one that was just built.
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
		"Path":       posternPath("gatewaysyncs", "plant"),
		"Delivery":   filepath.Join(samplesDir, "delivery.yaml"),
	})
}

// down stops what up started. It is no error if nothing runs.
func down(ctx context.Context, keep bool) error {
	if err := controlplane.StopDetached(ctx, stateDir); err != nil {
		return err
	}
	if keep {
		fmt.Printf("Stopped. The state is kept in %s.\n", stateDir)
		return nil
	}
	if err := os.RemoveAll(stateDir); err != nil {
		return err
	}
	fmt.Printf("Stopped, and %s is removed.\n", stateDir)
	return nil
}

var welcome = template.Must(template.New("welcome").Parse(`
Postern is up.

  kube-apiserver  {{.Cluster}}
  Postern         {{.Postern}} (for the kube-apiserver alone)
  logs            {{.Dir}}/postern.log, {{.Dir}}/kube-apiserver.log, {{.Dir}}/audit.log

Look around as the administrator:

  export KUBECONFIG={{.Kubeconfig}}
  export PATH=$PWD/bin/k8s:$PATH
  kubectl get gatewaysyncs,applications --namespace demo

Deliver a webhook as a CI job, with the token of a ServiceAccount that may deliver to this one object:

  TOKEN=$(kubectl create token ci --namespace demo)
  curl --cacert {{.CA}} \
    --header "Authorization: Bearer $TOKEN" --header "Content-Type: application/json" \
    --data '{"ref":"v1.1.0"}' \
    {{.Cluster}}{{.Path}}

See what came of it, and deliver by hand:

  kubectl get whd --namespace demo --output wide
  kubectl create --filename {{.Delivery}}
  kubectl get gatewaysync plant --namespace demo --output yaml

"make up" again restarts Postern after a change to it; "make down" ends all of it. "make demo" shows more.
`))
