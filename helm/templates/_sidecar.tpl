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
{{- .Values.sidecar.preStop.waitSeconds | default (add (include "hapax.drainSeconds" .) 1) | int64 -}}
{{- end -}}

{{- /* A `preStop` for the application's container.

Kubernetes ends a native sidecar after the application. Without this hook the application ends with messages in its
hands: unless it finishes what it has begun on SIGTERM, those are delivered again elsewhere. With it hapax stops
delivering first (POST /v1/pause: what runs ends, is recorded and committed, nothing new starts), and then the
application is told to end.

Why so: `httpGet` hooks cannot send a POST, and come from the node, where the loopback address of the pod cannot be
reached. The hook of hapax' own container could run at the right time, but its image holds no shell and no client. `sleep`
alone tells hapax nothing: it goes on delivering meanwhile. So the application's own image makes the call, which has
/bin/sh and either curl or wget (busybox' will do). */ -}}
{{- define "hapax.applicationPreStop" -}}
{{- if eq (include "hapax.delivery" .) "pull" -}}
{{- fail "hapax: with HAPAX_DELIVERY=pull the application needs no hapax.applicationPreStop: it reads Kafka itself, and hapax ends after it. Leave the template out" -}}
{{- end -}}
{{- $options := .Values.sidecar.preStop -}}
{{- if include "hapax.isSet" (list . "HAPAX_TLS_CERTIFICATE") -}}
{{- fail "hapax: hapax.applicationPreStop speaks plain HTTP: leave HAPAX_TLS_CERTIFICATE_FILE out, since the loopback address needs no TLS, or write the hook yourself" -}}
{{- end -}}
{{- $url := printf "http://127.0.0.1:%s/v1/pause" (include "hapax.listenPort" .) -}}
{{- $body := `'{"reason":"this pod ends"}'` -}}
{{- $headers := `--header 'Content-Type: application/json'` -}}
{{- with $options.tokenFile -}}
{{- $headers = printf `%s --header "Authorization: Bearer $(cat %s)"` $headers . -}}
{{- end -}}
{{- $call := printf "curl --fail --silent --show-error --max-time 2 --output /dev/null %s --data %s %s" $headers $body $url -}}
{{- if eq $options.with "wget" -}}
{{- $call = printf "wget -q -T 2 -O /dev/null %s --post-data %s %s" $headers $body $url -}}
{{- end -}}
preStop:
  exec:
    # A pause that fails must not skip the wait: the end goes on all the same.
    command: [/bin/sh, -c, {{ printf "%s || true; sleep %s" $call (include "hapax.preStopSeconds" .) | quote }}]
{{- end -}}

{{- /* The least terminationGracePeriodSeconds for such a pod: (list .Subcharts.hapax SECONDS), with the seconds that the
application itself needs to end. It holds for all containers together, one after the other. */ -}}
{{- define "hapax.terminationGracePeriodSeconds" -}}
{{- $context := index . 0 -}}
{{- $wait := eq (include "hapax.delivery" $context) "pull" | ternary "0" (include "hapax.preStopSeconds" $context) -}}
{{- add $wait (index . 1) (include "hapax.shutdownSeconds" $context) 5 -}}
{{- end -}}
