{{- /* Beside an application, in a pod of your own. With this chart as a dependency named hapax (helm/README.md):

  initContainers:
    {{- include "hapax.sidecar" .Subcharts.hapax | nindent 8 }}
*/ -}}

{{- define "hapax.sidecar" -}}
{{- if ne .Values.mode "sidecar" -}}
{{- fail "hapax: the template hapax.sidecar needs the value mode: sidecar (under the name of the dependency)" -}}
{{- end -}}
{{- include "hapax.check" . -}}
- {{ include "hapax.container" . | indent 2 | trim }}
{{- end -}}

{{- /* How long the pod waits between the pause and the end of the application: what hapax may need for its drain. */ -}}
{{- define "hapax.preStopSeconds" -}}
{{- .Values.sidecar.preStopSeconds | default (add (include "hapax.drainSeconds" .) 1) | int64 -}}
{{- end -}}

{{- /* Of hapax' own container: POST /v1/pause when the pod begins to end. Kubernetes runs the hooks of native sidecars
then, together with those of the other containers, although it sends them SIGTERM last. */ -}}
{{- define "hapax.lifecycle" -}}
{{- if and (eq .Values.mode "sidecar") (ne (include "hapax.delivery" .) "pull") (not (include "hapax.isSet" (list . "HAPAX_TLS_CERTIFICATE"))) -}}
lifecycle:
  preStop:
    exec:
      command: [/usr/bin/hapax, pause, --reason, this pod ends]
{{- end -}}
{{- end -}}

{{- /* A `preStop` for the application's container.

Kubernetes ends a native sidecar after the application. Without this wait the application is told to end with messages
in its hands: unless it finishes what it has begun on SIGTERM, those are delivered again elsewhere. Meanwhile the hook of
hapax' container has stopped delivery: what runs ends, is recorded and committed, nothing new starts. */ -}}
{{- define "hapax.applicationPreStop" -}}
{{- if eq (include "hapax.delivery" .) "pull" -}}
{{- fail "hapax: with HAPAX_DELIVERY=pull the application needs no hapax.applicationPreStop: it reads Kafka itself, and hapax ends after it. Leave the template out" -}}
{{- end -}}
{{- if include "hapax.isSet" (list . "HAPAX_TLS_CERTIFICATE") -}}
{{- fail "hapax: hapax.applicationPreStop waits for a pause that hapax calls without TLS: leave HAPAX_TLS_CERTIFICATE_FILE out, since the loopback address needs no TLS, or leave the template out" -}}
{{- end -}}
preStop:
  {{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
  sleep:
    seconds: {{ include "hapax.preStopSeconds" . }}
  {{- else }}
  # Kubernetes cannot wait by itself before 1.30: the application's image needs a sleep.
  exec:
    command: [sleep, {{ include "hapax.preStopSeconds" . | quote }}]
  {{- end }}
{{- end -}}

{{- /* The least terminationGracePeriodSeconds for such a pod: (list .Subcharts.hapax SECONDS), with the seconds that the
application itself needs to end. It holds for all containers together, one after the other. */ -}}
{{- define "hapax.terminationGracePeriodSeconds" -}}
{{- $context := index . 0 -}}
{{- $wait := eq (include "hapax.delivery" $context) "pull" | ternary "0" (include "hapax.preStopSeconds" $context) -}}
{{- add $wait (index . 1) (include "hapax.shutdownSeconds" $context) 5 -}}
{{- end -}}
