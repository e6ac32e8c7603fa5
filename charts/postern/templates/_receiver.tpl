{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0

The settings of the classic receiver, which Postern reads from a ConfigMap.
*/ -}}

{{- define "postern.configMap" -}}
{{ include "postern.fullname" . }}-config
{{- end -}}

{{- define "postern.config" -}}
{{- $receiver := .Values.webhookReceiver -}}
{{- $config := dict -}}
{{- with .Values.externalEtcd.endpoints }}{{ $_ := set $config "etcd.servers" (join "," .) }}{{ end -}}
{{- if $receiver.enabled -}}
  {{- $_ := set $config "webhook.enable" "true" -}}
  {{- $_ := set $config "webhook.namespaces" (join "," $receiver.namespaces) -}}
  {{- if ne (int $receiver.port) 8082 }}{{ $_ := set $config "webhook.port" (toString $receiver.port) }}{{ end -}}
  {{- if not $receiver.requireSecret }}{{ $_ := set $config "webhook.require-secret" "false" }}{{ end -}}
  {{- with $receiver.rateLimit }}{{ $_ := set $config "webhook.ratelimit-allowed" . }}{{ end -}}
  {{- if $receiver.tls.disabled }}{{ $_ := set $config "disable-tls" "true" }}{{ end -}}
  {{- with $receiver.tls.minVersion }}{{ $_ := set $config "tls.min-version" . }}{{ end -}}
  {{- with $receiver.tls.maxVersion }}{{ $_ := set $config "tls.max-version" . }}{{ end -}}
  {{- with $receiver.tls.ciphers }}{{ $_ := set $config "tls.ciphers" (join ":" .) }}{{ end -}}
{{- end -}}
{{- list $config .Values.config | include "postern.overlay" -}}
{{- end -}}

{{- /* The scheme of the receiver, from any of the values. */ -}}
{{- define "postern.receiverScheme" -}}
{{- get (include "postern.config" . | fromYaml) "disable-tls" | eq "true" | ternary "http" "https" -}}
{{- end -}}

{{- /*
The files with secrets of all git and generic senders, as a list: the name of the file, the Secret and the key in it, and the
suffix of the flag's name.
*/ -}}
{{- define "postern.credentials" -}}
{{- $receiver := .Values.webhookReceiver -}}
{{- $files := list -}}
{{- if $receiver.enabled -}}
{{- range $name, $flag := dict "hmac" "secret-file" "token" "file" -}}
  {{- $value := index $receiver $name -}}
  {{- if $value.secretRef.name -}}
    {{- $files = append $files (dict "name" $name "flag" $flag "secret" $value.secretRef.name "key" $value.secretRef.key) -}}
  {{- else if $value.secret -}}
    {{- $files = append $files (dict "name" $name "flag" $flag "secret" (include "postern.receiverName" $) "key" $name) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- define "postern.receiverName" -}}
{{ include "postern.fullname" . }}-receiver
{{- end -}}
