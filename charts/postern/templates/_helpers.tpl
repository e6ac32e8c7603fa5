{{- /*
Copyright The Postern Authors
SPDX-License-Identifier: Apache-2.0
*/ -}}

{{- define "postern.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /*
What the objects are called. It is the same whatever the release is called: a cluster can have only one Postern, since it
has one APIService of that name, and the commands of the documentation are to fit every installation.
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
One map out of a list of them, of which each beats those before it. Written one below the other they could have a key twice,
which strict readers of YAML refuse. It is not merge, to which an empty value is none.
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

{{- /* The one subject of every binding: Postern's ServiceAccount. */ -}}
{{- define "postern.subjects" -}}
- kind: ServiceAccount
  name: {{ include "postern.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end -}}
