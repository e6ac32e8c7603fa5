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
	const parts = 3
	s := newSteps(os.Stdout, parts, false)
	var cluster *controlplane.ControlPlane
	err := s.run("Start etcd and a kube-apiserver", func() (err error) {
		cluster, err = controlplane.Start(ctx, controlplane.Options{Dir: stateDir, Detached: true})
		return err
	})
	if err != nil {
		return err
	}
	err = s.run("Install Postern, and create sample objects", func() error {
		if err := cluster.Install(ctx); err != nil {
			return err
		}
		return applySamples(ctx, cluster)
	})
	if err != nil {
		return err
	}
	var postern *controlplane.Postern
	err = s.run("Start Postern", func() (err error) {
		postern, err = cluster.StartPostern(ctx, controlplane.PosternOptions{})
		return err
	})
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
  export PATH=$PWD/bin:$PWD/{{.Programs}}:$PATH
  kubectl get gatewaysyncs,applications --namespace demo

Deliver a webhook as a CI job, with the token of a ServiceAccount that may deliver to this one object:

  kubectl create token ci --namespace demo > token
  echo '{"ref": "v1.1.0"}' |
    kubectl postern send - gatewaysync/plant --source generic --namespace demo --token-file token

or without the plugin:

  curl --cacert {{.CA}} --header "Authorization: Bearer $(cat token)" \
    --header "Content-Type: application/json" --data '{"ref": "v1.1.0"}' \
    {{.Cluster}}{{.Path}}

See the outcome, and deliver by hand:

  kubectl get whd --namespace demo --output wide
  kubectl create --filename {{.Delivery}}
  kubectl get gatewaysync plant --namespace demo --output yaml

"make up" again restarts Postern after a change; "make down" stops everything. "make demo" shows more.
`))
