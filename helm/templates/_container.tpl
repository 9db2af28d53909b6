{{- /* The container, the same in a pod of its own and beside an application. */ -}}

{{- define "hapax.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Where the files of `secrets` lie. A whole directory, no subPath: so a token that was changed is seen. */ -}}
{{- define "hapax.filesPath" -}}/etc/hapax/files{{- end -}}

{{- /* A variable that names a file is the path of that file; any other is given by its name with _FILE. */ -}}
{{- define "hapax.env" -}}
{{- $context := . -}}
{{- if eq .Values.mode "sidecar" }}
{{- range $name, $value := include "hapax.present" .Values.config | fromJson }}
- name: {{ $name }}
  value: {{ include "hapax.text" (list $context $value) | quote }}
{{- end }}
{{- end }}
{{- range $name, $source := include "hapax.present" .Values.secrets | fromJson }}
- name: {{ regexMatch "_(FILE|LOCATION)$" $name | ternary $name (printf "%s_FILE" $name) }}
  value: {{ include "hapax.filesPath" $context }}/{{ $name }}
{{- end }}
{{- if .Values.trialRedis.enabled }}
- name: HAPAX_REDIS_URL
  value: redis://{{ include "hapax.trialRedisName" . }}:6379
{{- end }}
{{- if .Values.staticMembership }}
- name: HAPAX_STATIC_MEMBER
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hapax.envFrom" -}}
{{- if and (ne .Values.mode "sidecar") (include "hapax.present" .Values.config | fromJson) }}
- configMapRef:
    name: {{ include "hapax.fullname" . }}
{{- end }}
{{- with .Values.existingSecret }}
- secretRef:
    name: {{ tpl . $ }}
{{- end }}
{{- with .Values.envFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hapax.volumeMounts" -}}
{{- if include "hapax.present" .Values.secrets | fromJson }}
- name: hapax-files
  mountPath: {{ include "hapax.filesPath" . }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The volumes of the container; a pod of your own needs them too. */ -}}
{{- define "hapax.volumes" -}}
{{- with include "hapax.present" .Values.secrets | fromJson }}
- name: hapax-files
  projected:
    # Nobody but this pod sees them; its user is not always the owner of the files.
    defaultMode: 0444
    sources:
      {{- range $name, $source := . }}
      - {{ eq (default "Secret" $source.kind) "ConfigMap" | ternary "configMap" "secret" }}:
          name: {{ tpl $source.name $ }}
          items:
            - key: {{ $source.key | quote }}
              path: {{ $name }}
      {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hapax.container" -}}
name: hapax
image: {{ include "hapax.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if eq .Values.mode "sidecar" }}
# In an init container this makes a native sidecar: it starts before the application and ends after it.
restartPolicy: Always
{{- end }}
args: [run]
{{- with include "hapax.env" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "hapax.envFrom" . | trim }}
envFrom:
  {{- . | nindent 2 }}
{{- end }}
ports:
  - name: hapax-health
    containerPort: {{ include "hapax.healthPort" . }}
    protocol: TCP
  {{- if not (include "hapax.listen" . | include "hapax.isLoopback") }}
  - name: hapax
    containerPort: {{ include "hapax.listenPort" . }}
    protocol: TCP
  {{- end }}
# On /health, which answers as soon as the process runs. An application beside it starts after this probe, and /ready
# waits for the application: neither would ever start.
startupProbe:
  httpGet: {path: /health, port: hapax-health}
  {{- toYaml .Values.probes.startup | nindent 2 }}
# /health says nothing about Kafka or Redis: a restart would mend neither.
livenessProbe:
  httpGet: {path: /health, port: hapax-health}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
{{- if or (ne .Values.mode "sidecar") .Values.sidecar.readiness }}
readinessProbe:
  httpGet: {path: /ready, port: hapax-health}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
{{- end }}
{{- with include "hapax.lifecycle" . }}
{{ . }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with include "hapax.volumeMounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}
