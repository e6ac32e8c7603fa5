{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0

What the container is started with.
*/ -}}

{{- define "postern.args" -}}
{{- if .Values.externalEtcd.endpoints -}}
- --etcd-servers={{ join "," .Values.externalEtcd.endpoints }}
- --leader-elect
{{- else -}}
# A directory below the volume's own, which belongs to root: etcd wants one with mode 0700.
- --data-dir=/var/lib/postern/etcd
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "postern.env" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with include "postern.goMemoryLimit" . }}
# Nine tenths of the memory limit: the collector works harder before the kernel ends the process.
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
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* In whole tens of MiB. Nothing, if the limit is not in whole MiB or GiB: then set GOMEMLIMIT with extraEnv. */ -}}
{{- define "postern.goMemoryLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources -}}
{{- if regexMatch "^[0-9]+(Mi|Gi)$" $limit -}}
{{- $mebibytes := regexFind "^[0-9]+" $limit | int -}}
{{- if hasSuffix "Gi" $limit }}{{ $mebibytes = mul $mebibytes 1024 }}{{ end -}}
{{- printf "%dMiB" (mul 10 (div (mul $mebibytes 9) 100)) -}}
{{- end -}}
{{- end -}}

{{- /* A change of the settings that are read only at the start replaces the Pods. */ -}}
{{- define "postern.checksums" -}}
{{- if or .Values.webhookReceiver.enabled .Values.config -}}
checksum/config: {{ include "postern.config" . | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "postern.spread" -}}
{{- with .Values.affinity -}}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
