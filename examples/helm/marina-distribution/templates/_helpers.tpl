{{- define "marina.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "marina.selector" -}}
app.kubernetes.io/name: marina-distribution
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "marina.labels" -}}
{{ include "marina.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
