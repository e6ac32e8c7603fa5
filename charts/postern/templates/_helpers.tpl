{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0
*/ -}}

{{- define "postern.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /*
The name of the objects. It does not depend on the name of the release: a cluster can have only one Postern, since it has one
APIService of that name, and the commands of the documentation work with every installation.
*/ -}}
{{- define "postern.fullname" -}}
{{- .Values.fullnameOverride | default (include "postern.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "postern.selectorLabels" -}}
app.kubernetes.io/name: {{ include "postern.name" . | quote }}
{{- end -}}

{{- define "postern.labels" -}}
{{ include "postern.selectorLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- /*
Merges a list of maps; later ones override earlier ones. Concatenation could repeat a key, which strict YAML parsers reject.
merge is not used because it ignores empty values.
*/ -}}
{{- define "postern.overlay" -}}
{{- $map := dict -}}
{{- range . }}{{ range $key, $value := . }}{{ $_ := set $map $key $value }}{{ end }}{{ end -}}
{{- toYaml $map -}}
{{- end -}}

{{- define "postern.image" -}}
{{- $tag := .Values.image.tag | default (printf "v%s" .Chart.AppVersion) -}}
{{- .Values.image.repository }}{{ hasPrefix "@" $tag | ternary "" ":" }}{{ $tag -}}
{{- end -}}

{{- /* The subject of every binding: Postern's ServiceAccount. */ -}}
{{- define "postern.subjects" -}}
- kind: ServiceAccount
  name: {{ include "postern.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end -}}
