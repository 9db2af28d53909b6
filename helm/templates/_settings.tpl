{{- /* What the values say about a HAPAX_ variable, and what follows from it. */ -}}

{{- /* A value as the text of a variable: (list context value). Whole numbers of YAML are floats here, and would be
written as 6.7108864e+07. Texts may be templates, such as http://{{ .Release.Name }}-app/messages. */ -}}
{{- define "hapax.text" -}}
{{- $context := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "float64" $value -}}
{{- if eq $value (floor $value) -}}{{- int64 $value -}}{{- else -}}{{- $value -}}{{- end -}}
{{- else if kindIs "string" $value -}}
{{- tpl $value $context -}}
{{- else -}}
{{- toString $value -}}
{{- end -}}
{{- end -}}

{{- /* A map without its nulls, as JSON. A null stays where a chart above takes away what its own values hold; numbers
keep their form. */ -}}
{{- define "hapax.present" -}}
{{- $found := dict -}}
{{- range $name, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $found $name $value -}}{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* The value of a variable where it stands openly, in `config` or `env`: (list context name). Empty: not there. */ -}}
{{- define "hapax.setting" -}}
{{- $context := index . 0 -}}
{{- $name := index . 1 -}}
{{- if hasKey (include "hapax.present" $context.Values.config | fromJson) $name -}}
{{- include "hapax.text" (list $context (index $context.Values.config $name)) -}}
{{- else -}}
{{- range $context.Values.env -}}
{{- if and (eq .name $name) (hasKey . "value") -}}{{- .value -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether a variable is given, openly or not: (list context name). Empty: no, as far as the values tell. */ -}}
{{- define "hapax.isSet" -}}
{{- $context := index . 0 -}}
{{- $name := index . 1 -}}
{{- $config := include "hapax.present" $context.Values.config | fromJson -}}
{{- $secrets := include "hapax.present" $context.Values.secrets | fromJson -}}
{{- range $given := list $name (printf "%s_FILE" $name) -}}
{{- if or (hasKey $config $given) (hasKey $secrets $given) -}}yes{{- end -}}
{{- range $context.Values.env -}}{{- if eq .name $given -}}yes{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether variables may come from where the chart cannot look. */ -}}
{{- define "hapax.isOpaque" -}}
{{- if or .Values.existingSecret .Values.envFrom -}}yes{{- end -}}
{{- end -}}

{{- /* Seconds of a duration such as 500ms, 30s, 10m, 24h or 7d, rounded up. */ -}}
{{- define "hapax.seconds" -}}
{{- if not (regexMatch "^[0-9]+(ms|s|m|h|d)$" .) -}}
{{- fail "hapax: HAPAX_SHUTDOWN_LIMIT and HAPAX_DRAIN_LIMIT are durations with their unit, such as 500ms, 30s or 10m" -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- mul $number (index (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end -}}
{{- end -}}

{{- define "hapax.drainSeconds" -}}
{{- include "hapax.setting" (list . "HAPAX_DRAIN_LIMIT") | default "5s" | include "hapax.seconds" -}}
{{- end -}}

{{- define "hapax.shutdownSeconds" -}}
{{- include "hapax.setting" (list . "HAPAX_SHUTDOWN_LIMIT") | default "25s" | include "hapax.seconds" -}}
{{- end -}}

{{- /* Killed is only what did not end by its own limit: 5 s more than that at least, 10 by default. */ -}}
{{- define "hapax.terminationSeconds" -}}
{{- .Values.terminationGracePeriodSeconds | default (add (include "hapax.shutdownSeconds" .) 10) | int64 -}}
{{- end -}}

{{- define "hapax.listen" -}}
{{- include "hapax.setting" (list . "HAPAX_LISTEN") | default "127.0.0.1:7171" -}}
{{- end -}}

{{- define "hapax.healthListen" -}}
{{- include "hapax.setting" (list . "HAPAX_HEALTH_LISTEN") | default "0.0.0.0:7172" -}}
{{- end -}}

{{- define "hapax.listenPort" -}}
{{- include "hapax.listen" . | regexFind "[0-9]+$" -}}
{{- end -}}

{{- define "hapax.healthPort" -}}
{{- include "hapax.healthListen" . | regexFind "[0-9]+$" -}}
{{- end -}}

{{- /* Whether an address can be reached from this host or pod only. */ -}}
{{- define "hapax.isLoopback" -}}
{{- if regexMatch "^(127\\.|\\[::1\\]|localhost)" . -}}yes{{- end -}}
{{- end -}}

{{- define "hapax.delivery" -}}
{{- include "hapax.setting" (list . "HAPAX_DELIVERY") | default "push" -}}
{{- end -}}

{{- define "hapax.store" -}}
{{- include "hapax.setting" (list . "HAPAX_STORE") | default "redis" -}}
{{- end -}}
