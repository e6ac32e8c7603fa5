{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0

The settings of the classic receiver, which reach Postern as keys of a ConfigMap.
*/ -}}

{{- define "postern.configMap" -}}
{{ include "postern.fullname" . }}-config
{{- end -}}

{{- define "postern.config" -}}
{{- $receiver := .Values.webhookReceiver -}}
{{- $config := dict -}}
{{- if $receiver.enabled -}}
  {{- $_ := set $config "webhook.enable" "true" -}}
  {{- $_ := set $config "webhook.namespaces" (join "," $receiver.namespaces) -}}
  {{- $_ := set $config "webhook.port" (toString $receiver.port) -}}
  {{- if not $receiver.requireSecret }}{{ $_ := set $config "webhook.require-secret" "false" }}{{ end -}}
  {{- with $receiver.rateLimit }}{{ $_ := set $config "webhook.ratelimit-allowed" . }}{{ end -}}
  {{- if $receiver.tls.disabled }}{{ $_ := set $config "disable-tls" "true" }}{{ end -}}
  {{- with $receiver.tls.minVersion }}{{ $_ := set $config "tls.min-version" . }}{{ end -}}
  {{- with $receiver.tls.maxVersion }}{{ $_ := set $config "tls.max-version" . }}{{ end -}}
  {{- with $receiver.tls.ciphers }}{{ $_ := set $config "tls.ciphers" (join ":" .) }}{{ end -}}
{{- end -}}
{{- merge (deepCopy .Values.config) $config | toYaml -}}
{{- end -}}
