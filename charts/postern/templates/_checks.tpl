{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0

Checks that the schema can't express: conflicting values. All errors are reported together.
*/ -}}

{{- define "postern.check" -}}
{{- $receiver := .Values.webhookReceiver -}}
{{- $wrong := list -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.externalEtcd.endpoints) -}}
  {{- $wrong = append $wrong "replicaCount is more than 1, which requires externalEtcd.endpoints: the embedded etcd serves only one replica." -}}
{{- end -}}
{{- range .Values.externalEtcd.endpoints -}}
  {{- if and (hasPrefix "https:" .) (not $.Values.externalEtcd.secretName) -}}
    {{- $wrong = append $wrong (printf "externalEtcd.endpoints has %s, which requires externalEtcd.secretName: etcd authenticates its clients by certificate." .) -}}
  {{- end -}}
{{- end -}}
{{- if $receiver.enabled -}}
  {{- if not $receiver.namespaces -}}
    {{- $wrong = append $wrong "webhookReceiver.enabled needs webhookReceiver.namespaces: the namespaces in which it may act, or [\"*\"] for all." -}}
  {{- end -}}
  {{- if and (has "*" $receiver.namespaces) (gt (len $receiver.namespaces) 1) -}}
    {{- $wrong = append $wrong "webhookReceiver.namespaces has both \"*\", which is all namespaces, and names." -}}
  {{- end -}}
  {{- if eq (int $receiver.port) 8443 -}}
    {{- $wrong = append $wrong "webhookReceiver.port is 8443, which is the port of the API server." -}}
  {{- end -}}
  {{- if gt ($receiver.tls.minVersion | default "1.3") ($receiver.tls.maxVersion | default "1.3") -}}
    {{- $wrong = append $wrong "webhookReceiver.tls.minVersion is above webhookReceiver.tls.maxVersion; empty is 1.3 for both." -}}
  {{- end -}}
{{- end -}}
{{- if $receiver.ingress.enabled -}}
  {{- if not $receiver.enabled -}}
    {{- $wrong = append $wrong "webhookReceiver.ingress.enabled needs webhookReceiver.enabled." -}}
  {{- end -}}
  {{- if not $receiver.ingress.hosts -}}
    {{- $wrong = append $wrong "webhookReceiver.ingress.enabled needs webhookReceiver.ingress.hosts." -}}
  {{- end -}}
{{- end -}}
{{- range $key, $value := dict "webhook.enable" "enabled" "webhook.namespaces" "namespaces" "webhook.port" "port" -}}
  {{- if hasKey ($.Values.config | default dict) $key -}}
    {{- $wrong = append $wrong (printf "config has %s; set webhookReceiver.%s instead, which also configures the Service and the NetworkPolicy." $key $value) -}}
  {{- end -}}
{{- end -}}
{{- range $flag, $value := dict
    "--data-dir" "persistence" "--etcd-servers" "externalEtcd.endpoints" "--leader-elect" "replicaCount"
    "--enable-webhook" "webhookReceiver.enabled" "--webhook-port" "webhookReceiver.port"
    "--webhook-namespaces" "webhookReceiver.namespaces" "--disable-tls" "webhookReceiver.tls.disabled"
    "--service-name" "fullnameOverride" -}}
  {{- range $.Values.extraArgs -}}
    {{- if eq $flag (splitList "=" . | first) -}}
      {{- $wrong = append $wrong (printf "extraArgs has %s; set %s instead, which also configures other objects." $flag $value) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $.Values.extraArgs -}}
  {{- $flag := splitList "=" . | first -}}
  {{- if has $flag (list "--secure-port" "--service-namespace" "--ca-secret-name" "--leader-elect-resource-name" "--leader-elect-resource-namespace") -}}
    {{- $wrong = append $wrong (printf "extraArgs has %s, which can't be changed here: the chart's objects depend on it." $flag) -}}
  {{- end -}}
{{- end -}}
{{- /* Of a repeated flag, the last one would apply. */ -}}
{{- $own := list -}}
{{- range include "postern.ownArgs" . | fromYamlArray }}{{ $own = append $own (splitList "=" . | first) }}{{ end -}}
{{- range $flag, $value := dict
    "--tls-cert-file" "certManager.enabled" "--tls-private-key-file" "certManager.enabled"
    "--etcd-cafile" "externalEtcd.secretName" "--etcd-certfile" "externalEtcd.secretName"
    "--etcd-keyfile" "externalEtcd.secretName"
    "--hmac-secret-file" "webhookReceiver.hmac" "--token-file" "webhookReceiver.token" -}}
  {{- range $.Values.extraArgs -}}
    {{- if and (eq $flag (splitList "=" . | first)) (has $flag $own) -}}
      {{- $wrong = append $wrong (printf "extraArgs has %s, which %s sets, too; leave out one of the two." $flag $value) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.certManager.enabled) (not .Values.serviceMonitor.caSecretRef.name) -}}
  {{- range .Values.extraArgs -}}
    {{- if hasPrefix "--tls-cert-file=" . -}}
      {{- $wrong = append $wrong "extraArgs has --tls-cert-file, with which serviceMonitor.enabled needs serviceMonitor.caSecretRef.name: a Secret with the CA of that certificate, for Prometheus." -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $label, $_ := include "postern.selectorLabels" . | fromYaml -}}
  {{- if hasKey ($.Values.podLabels | default dict) $label -}}
    {{- $wrong = append $wrong (printf "podLabels has %s, by which the Service and the StatefulSet select their Pods; set nameOverride instead." $label) -}}
  {{- end -}}
{{- end -}}
{{- if hasKey (.Values.podAnnotations | default dict) "checksum/config" -}}
  {{- $wrong = append $wrong "podAnnotations has checksum/config, which the chart sets, so that a change of the ConfigMap replaces the Pods. Choose another name." -}}
{{- end -}}
{{- /* Lists in which Kubernetes accepts each element once. The names of volumes are taken from their mounts. */ -}}
{{- range $value, $is := dict
    "extraEnv" (list "name" "postern.ownEnv" "leave it out; use webhookReceiver, config and externalEtcd for these settings")
    "extraVolumes" (list "name" "postern.ownVolumeMounts" "choose another name")
    "extraVolumeMounts" (list "mountPath" "postern.ownVolumeMounts" "choose another path") -}}
  {{- $key := index $is 0 -}}
  {{- $own := list -}}
  {{- range include (index $is 1) $ | fromYamlArray }}{{ $own = append $own (get . $key) }}{{ end -}}
  {{- $seen := list -}}
  {{- range index $.Values $value -}}
    {{- $name := get . $key | trimSuffix "/" -}}
    {{- if has $name $own -}}
      {{- $wrong = append $wrong (printf "%s has %s, which the chart sets itself: %s." $value $name (index $is 2)) -}}
    {{- else if has $name $seen -}}
      {{- $wrong = append $wrong (printf "%s has %s twice." $value $name) -}}
    {{- end -}}
    {{- $seen = append $seen $name -}}
  {{- end -}}
{{- end -}}
{{- if $wrong -}}
  {{- fail (printf "\n\n%s\n" (join "\n" $wrong)) -}}
{{- end -}}
{{- end -}}
