// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/test/controlplane"
)

// kubelet stands in for the node of Postern's Pod: the kube-apiserver reads Postern's log from it.
type kubelet struct{ server *httptest.Server }

func (k *kubelet) close() { k.server.Close() }

// startKubelet creates the Pod of Postern's StatefulSet, on a node whose kubelet is in this process.
func (s *suite) startKubelet(ctx context.Context) (*kubelet, error) {
	k := &kubelet{httptest.NewTLSServer(http.HandlerFunc(s.serveLog))}
	host, port, err := net.SplitHostPort(k.server.Listener.Addr().String())
	if err != nil {
		return k, err
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return k, err
	}
	nodes := s.Kube.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}, metav1.CreateOptions{})
	if err != nil {
		return k, err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	if _, err := nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return k, err
	}
	set, err := s.Kube.AppsV1().StatefulSets(controlplane.Namespace).Get(ctx, "postern", metav1.GetOptions{})
	if err != nil {
		return k, err
	}
	pod := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	pod.Name, pod.Spec.NodeName = "postern-0", node.Name
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "data"})
	_, err = s.Kube.CoreV1().Pods(controlplane.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	return k, err
}

// serveLog answers as a kubelet with the whole log of Postern, and the time before each line.
func (s *suite) serveLog(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/containerLogs/"+controlplane.Namespace+"/postern-0/postern" {
		http.NotFound(w, req)
		return
	}
	log, err := os.ReadFile(s.postern.LogFile())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for line := range strings.Lines(string(log)) {
		if stamp, isLine := timeOf(line); isLine {
			_, _ = fmt.Fprint(w, stamp.Format(time.RFC3339Nano), " ", line)
		}
	}
}

// timeOf reads the time at the start of a line of klog, such as "I0102 15:04:05.000000", which lacks the year.
func timeOf(line string) (time.Time, bool) {
	const layout = "0102 15:04:05.000000"
	if len(line) < len(layout)+1 {
		return time.Time{}, false
	}
	stamp, err := time.ParseInLocation(layout, line[1:len(layout)+1], time.Local)
	return stamp.AddDate(time.Now().Year(), 0, 0), err == nil
}
