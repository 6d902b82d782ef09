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

{{- /* Where clients reach the registry; empty: as they say themselves. */}}
{{- define "marina.url" -}}
{{- if .Values.externalUrl -}}
{{- .Values.externalUrl -}}
{{- else if .Values.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host -}}
{{- end -}}
{{- end -}}

{{- define "marina.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "marina.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}
