{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0

The flags of the container.
*/ -}}

{{- define "postern.args" -}}
{{- include "postern.ownArgs" . }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "postern.ownArgs" -}}
{{- if .Values.externalEtcd.endpoints -}}
- --etcd-servers=$(ETCD_SERVERS)
{{- if .Values.externalEtcd.secretName }}
- --etcd-cafile=/etc/postern/etcd/ca.crt
- --etcd-certfile=/etc/postern/etcd/tls.crt
- --etcd-keyfile=/etc/postern/etcd/tls.key
{{- end }}
- --leader-elect
- --leader-elect-resource-namespace=$(POD_NAMESPACE)
# A replica that is shutting down keeps serving for this time, until all clients have noticed.
- --shutdown-delay-duration=10s
{{- else -}}
# A subdirectory, because the root of the volume belongs to root: only Postern may read it.
- --data-dir=/var/lib/postern/data
# The kube-apiserver checks Postern when it begins to stop, and has to find it serving: a check that hangs in the network
# of a Pod that is gone would delay the first request to the next one.
- --shutdown-delay-duration=1s
{{- end }}
{{- if .Values.certManager.enabled }}
- --tls-cert-file=/etc/postern/tls/tls.crt
- --tls-private-key-file=/etc/postern/tls/tls.key
{{- else if ne (include "postern.fullname" .) "postern" }}
- --service-name={{ include "postern.fullname" . }}
{{- end }}
{{- range include "postern.credentials" . | fromYamlArray }}
- --{{ .name }}-{{ .flag }}=/etc/postern/receiver-{{ .name }}/{{ .name }}
{{- end }}
{{- end -}}

{{- define "postern.env" -}}
{{- include "postern.ownEnv" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "postern.ownEnv" -}}
{{- $given := list -}}
{{- range .Values.extraEnv }}{{ $given = append $given .name }}{{ end -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with has "GOMEMLIMIT" $given | ternary "" (include "postern.goMemoryLimit" .) }}
# Nine tenths of the memory limit: the garbage collector works harder before the kernel kills the process.
- name: GOMEMLIMIT
  value: {{ . }}
{{- end }}
{{- $configMap := include "postern.configMap" . }}
{{- range list
    (list "ENABLE_WEBHOOK" "webhook.enable")
    (list "WEBHOOK_NAMESPACES" "webhook.namespaces")
    (list "WEBHOOK_PORT" "webhook.port")
    (list "WEBHOOK_REQUIRE_SECRET" "webhook.require-secret")
    (list "WEBHOOK_RATELIMIT_ALLOWED" "webhook.ratelimit-allowed")
    (list "DISABLE_TLS" "disable-tls")
    (list "TLS_MIN_VERSION" "tls.min-version")
    (list "TLS_MAX_VERSION" "tls.max-version")
    (list "TLS_CIPHERS" "tls.ciphers") }}
- name: {{ index . 0 }}
  valueFrom:
    configMapKeyRef: {name: {{ $configMap }}, key: {{ index . 1 }}, optional: true}
{{- end }}
{{- if .Values.externalEtcd.endpoints }}
- name: ETCD_SERVERS
  valueFrom:
    configMapKeyRef: {name: {{ $configMap }}, key: etcd.servers}
{{- end }}
{{- if .Values.webhookReceiver.enabled }}
{{- range list "docker" "ghcr" "harbor" "quay" "aliyun-acr" "acr" "cloudevents" }}
- name: {{ . | upper | replace "-" "_" }}_WEBHOOK_SECRET
  valueFrom:
    secretKeyRef: {name: {{ $.Values.webhookReceiver.registrySecrets | quote }}, key: webhook.{{ . }}-secret, optional: true}
{{- end }}
{{- range list (list "WEBHOOK_HMAC_SECRET" "hmac") (list "WEBHOOK_BEARER_TOKEN" "token") }}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef: {name: {{ $.Values.webhookReceiver.registrySecrets | quote }}, key: {{ index . 1 }}, optional: true}
{{- end }}
{{- end }}
{{- end -}}

{{- /* In tens of MiB, or in KiB below 100 MiB for precision. Empty if the limit is not in whole MiB or GiB: then set GOMEMLIMIT with extraEnv. */ -}}
{{- define "postern.goMemoryLimit" -}}
{{- $limit := dig "limits" "memory" "" (.Values.resources | default dict) | toString -}}
{{- if regexMatch "^[1-9][0-9]*(Mi|Gi)$" $limit -}}
{{- $mebibytes := regexFind "^[0-9]+" $limit | int -}}
{{- if hasSuffix "Gi" $limit }}{{ $mebibytes = mul $mebibytes 1024 }}{{ end -}}
{{- if lt $mebibytes 100 -}}
  {{- printf "%dKiB" (div (mul $mebibytes 1024 9) 10) -}}
{{- else -}}
  {{- printf "%dMiB" (mul 10 (div (mul $mebibytes 9) 100)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Replaces the Pods when settings change that are read only at the start. */ -}}
{{- define "postern.checksums" -}}
{{- $config := include "postern.config" . -}}
{{- if ne $config "{}" -}}
checksum/config: {{ sha256sum $config }}
{{- end -}}
{{- end -}}

{{- define "postern.volumeMounts" -}}
{{- include "postern.ownVolumeMounts" . }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "postern.ownVolumeMounts" -}}
{{- if not .Values.externalEtcd.endpoints }}
- name: data
  mountPath: /var/lib/postern
{{- else if .Values.externalEtcd.secretName }}
- name: etcd-client
  mountPath: /etc/postern/etcd
  readOnly: true
{{- end }}
{{- if .Values.certManager.enabled }}
- name: serving-certificate
  mountPath: /etc/postern/tls
  readOnly: true
{{- end }}
{{- if .Values.webhookReceiver.enabled }}
- name: receiver-tls
  mountPath: /etc/postern/receiver-tls
  readOnly: true
{{- end }}
{{- range include "postern.credentials" . | fromYamlArray }}
- name: receiver-{{ .name }}
  mountPath: /etc/postern/receiver-{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "postern.volumes" -}}
{{- include "postern.ownVolumes" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "postern.ownVolumes" -}}
{{- if not .Values.externalEtcd.endpoints }}
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: {}
{{- end }}
{{- else if .Values.externalEtcd.secretName }}
- name: etcd-client
  secret:
    secretName: {{ .Values.externalEtcd.secretName | quote }}
{{- end }}
{{- if .Values.certManager.enabled }}
- name: serving-certificate
  secret:
    secretName: {{ include "postern.fullname" . }}-serving
{{- end }}
{{- if .Values.webhookReceiver.enabled }}
- name: receiver-tls
  secret:
    secretName: {{ .Values.webhookReceiver.tls.secretName | quote }}
    optional: true
{{- end }}
{{- range include "postern.credentials" . | fromYamlArray }}
- name: receiver-{{ .name }}
  secret:
    secretName: {{ .secret | quote }}
    items: [{key: {{ .key | quote }}, path: {{ .name }}}]
{{- end }}
{{- end -}}

{{- /* Spreads several replicas over nodes and zones, if possible. */ -}}
{{- define "postern.topologySpread" -}}
{{- $several := .Values.externalEtcd.endpoints -}}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- else }}{{ if $several }}
affinity:
  podAntiAffinity:
    # Preferred, so that a cluster with fewer nodes can run and update all replicas.
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "postern.selectorLabels" . | nindent 12 }}
{{- end }}{{ end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- else }}{{ if $several }}
topologySpreadConstraints:
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "postern.selectorLabels" . | nindent 6 }}
{{- end }}{{ end }}
{{- end -}}
