{{- /* Names and labels. */ -}}

{{- define "hapax.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* At most 50 characters: the names of pods and of the trial Redis are made from it. */ -}}
{{- define "hapax.fullname" -}}
{{- $name := include "hapax.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hapax.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hapax.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: consumer
{{- end -}}

{{- define "hapax.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "hapax.labels" -}}
{{ include "hapax.selectorLabels" . }}
{{ include "hapax.commonLabels" . }}
{{- end -}}

{{- define "hapax.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hapax.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "hapax.trialRedisName" -}}
{{- include "hapax.fullname" . }}-trial-redis
{{- end -}}
