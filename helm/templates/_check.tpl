{{- /* What the schema cannot say: values that do not fit together, secrets in the open. All mistakes at once. */ -}}

{{- /* Properties of librdkafka that hold a secret. */ -}}
{{- define "hapax.isSecretProperty" -}}
{{- if regexMatch "^HAPAX_KAFKA_.*(PASSWORD|PASSPHRASE|SECRET|KEY_PEM|OAUTHBEARER_CONFIG)$" . -}}yes{{- end -}}
{{- end -}}

{{- /* In the open: the ConfigMap, and what `kubectl describe` shows of a pod. */ -}}
{{- define "hapax.checkSecrets" -}}
{{- $secrets := include "hapax.secretVariables" . | splitList " " -}}
{{- range $name, $value := include "hapax.present" .Values.config | fromJson -}}
{{- if or (has $name $secrets) (include "hapax.isSecretProperty" $name) }}
- config.{{ $name }} is a secret, and `config` becomes a ConfigMap: put it into a Secret, and name that in `secrets.{{ $name }}` (name, key) or in `existingSecret` (with the key {{ $name }})
{{- else if and (kindIs "string" $value) (regexMatch "://[^/@]*:[^/@]*@" $value) }}
- config.{{ $name }} holds a password, and `config` becomes a ConfigMap: put it into a Secret, and name that in `secrets` or `existingSecret`, or pass it by a variable of its own
{{- end -}}
{{- end -}}
{{- range .Values.env -}}
{{- if and (hasKey . "value") (or (has .name $secrets) (include "hapax.isSecretProperty" .name)) }}
- env: {{ .name }} is a secret, and `value` shows it to whoever may see the pod: give `valueFrom`, or name a Secret in `secrets.{{ .name }}` or in `existingSecret`
{{- end -}}
{{- end -}}
{{- range $name, $source := include "hapax.present" .Values.secrets | fromJson -}}
{{- if and (eq (default "Secret" $source.kind) "ConfigMap") (or (has $name $secrets) (include "hapax.isSecretProperty" $name)) }}
- secrets.{{ $name }} is a secret: take it from a Secret, not from a ConfigMap
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hapax.checkNames" -}}
{{- $context := . -}}
{{- $given := concat (include "hapax.present" .Values.config | fromJson | keys) (include "hapax.present" .Values.secrets | fromJson | keys) -}}
{{- range .Values.env -}}{{- $given = append $given .name -}}{{- end -}}
{{- range $name := uniq $given | sortAlpha -}}
{{- $times := 0 -}}
{{- range $given -}}{{- if or (eq . $name) (eq . (printf "%s_FILE" $name)) -}}{{- $times = add1 $times -}}{{- end -}}{{- end -}}
{{- if gt (int $times) 1 }}
- {{ $name }} is given more than once, by `config`, `secrets` or `env`, as itself or with _FILE: keep one
{{- end -}}
{{- if eq $name "HAPAX_STATIC_MEMBER" }}
- HAPAX_STATIC_MEMBER would be the same in every pod, and they would take the partitions from each other: set `staticMembership: true` with `mode: statefulset`
{{- end -}}
{{- end -}}
{{- $pull := eq (include "hapax.delivery" .) "pull" -}}
{{- $other := include (ternary "hapax.pushVariables" "hapax.pullVariables" $pull) . | splitList " " -}}
{{- range uniq $given | sortAlpha -}}
{{- if or (has (trimSuffix "_FILE" .) $other) (has . $other) (and $pull (hasPrefix "HAPAX_KAFKA_" .)) }}
- {{ . }} means nothing with HAPAX_DELIVERY={{ include "hapax.delivery" $context }}, and hapax refuses it: leave it out
{{- end -}}
{{- end -}}
{{- if not (include "hapax.isOpaque" .) -}}
{{- $needed := $pull | ternary (list "HAPAX_NAMESPACE") (list "HAPAX_BROKERS" "HAPAX_GROUP" "HAPAX_TOPICS" "HAPAX_PUSH_URL") -}}
{{- range $needed -}}
{{- if not (include "hapax.isSet" (list $context .)) }}
- {{ . }} is missing: set it in `config`
{{- end -}}
{{- end -}}
{{- if not (or (eq (include "hapax.store" .) "memory") .Values.trialRedis.enabled (include "hapax.isSet" (list . "HAPAX_REDIS_URL"))) }}
- HAPAX_REDIS_URL is missing: put it into a Secret, and name that in `secrets.HAPAX_REDIS_URL` (name, key) or in `existingSecret`; for a trial, set `trialRedis.enabled: true`
{{- end -}}
{{- end -}}
{{- if and .Values.trialRedis.enabled (include "hapax.isSet" (list . "HAPAX_REDIS_URL")) }}
- trialRedis.enabled sets HAPAX_REDIS_URL, which is set already: keep one
{{- end -}}
{{- end -}}

{{- define "hapax.checkListeners" -}}
{{- $closed := include "hapax.listen" . | include "hapax.isLoopback" -}}
{{- $guarded := or (include "hapax.isSet" (list . "HAPAX_TOKEN")) (include "hapax.isSet" (list . "HAPAX_TLS_CLIENT_CA")) (include "hapax.isOpaque" .) -}}
{{- if not (regexMatch ":[0-9]+$" (include "hapax.listen" .)) }}
- HAPAX_LISTEN is an address with a port, such as 127.0.0.1:7171
{{- end -}}
{{- if not (regexMatch ":[0-9]+$" (include "hapax.healthListen" .)) }}
- HAPAX_HEALTH_LISTEN is an address with a port, such as 0.0.0.0:7172
{{- else if include "hapax.healthListen" . | include "hapax.isLoopback" }}
- HAPAX_HEALTH_LISTEN is a loopback address, where probes and scrapes do not come: leave it out, or set it to 0.0.0.0:7172
{{- end -}}
{{- if and (not $closed) (not $guarded) }}
- HAPAX_LISTEN can be reached from outside of the pod: name a Secret with a token in `secrets.HAPAX_TOKEN`, or a CA of clients in `secrets.HAPAX_TLS_CLIENT_CA_FILE`
{{- end -}}
{{- if and .Values.service.enabled $closed }}
- service.enabled: HAPAX_LISTEN is a loopback address, where no Service comes: set config.HAPAX_LISTEN to 0.0.0.0:{{ include "hapax.listenPort" . }}, and secrets.HAPAX_TOKEN
{{- end -}}
{{- if and (ne .Values.mode "sidecar") (eq (include "hapax.delivery" .) "pull") (not .Values.service.enabled) }}
- HAPAX_DELIVERY=pull: nobody could call these pods: set `service.enabled: true`, or `mode: sidecar` to run beside your application
{{- end -}}
{{- if and (ne .Values.mode "sidecar") (regexMatch "^https?://(localhost|127\\.|\\[::1\\])" (include "hapax.setting" (list . "HAPAX_PUSH_URL"))) }}
- HAPAX_PUSH_URL is a loopback address, and no application runs in these pods: name the application's Service, or set `mode: sidecar`
{{- end -}}
{{- end -}}

{{- define "hapax.checkEnds" -}}
{{- $drain := include "hapax.drainSeconds" . | int64 -}}
{{- $shutdown := include "hapax.shutdownSeconds" . | int64 -}}
{{- if le $shutdown $drain }}
- HAPAX_SHUTDOWN_LIMIT ({{ $shutdown }} s) must be longer than HAPAX_DRAIN_LIMIT ({{ $drain }} s)
{{- end -}}
{{- if lt (include "hapax.terminationSeconds" . | int64) (add $shutdown 5) }}
- terminationGracePeriodSeconds: {{ include "hapax.terminationSeconds" . }} would kill the process on its way: HAPAX_SHUTDOWN_LIMIT is {{ $shutdown }} s, so set {{ add $shutdown 5 }} or more, or leave it out
{{- end -}}
{{- end -}}

{{- define "hapax.checkMode" -}}
{{- if and .Values.staticMembership (ne .Values.mode "statefulset") }}
- staticMembership needs `mode: statefulset`: the names of its pods stay the same, those of a Deployment are new each time
{{- end -}}
{{- if eq .Values.mode "sidecar" -}}
{{- if not (semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version) }}
- mode: sidecar needs Kubernetes 1.29 or later, which knows native sidecars; this is {{ .Capabilities.KubeVersion.Version }}
{{- end -}}
{{- $values := .Values -}}
{{- range list "autoscaling" "keda" "networkPolicy" "podDisruptionBudget" "service" -}}
{{- if (index $values .).enabled }}
- {{ . }}.enabled: with `mode: sidecar` the pod is your application's, and so is this: set it there
{{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.podMonitor.selectorLabels) }}
- podMonitor.selectorLabels is missing: with `mode: sidecar`, the labels of your application's pods
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What a TriggerAuthentication holds cannot be seen here: with one, all may be well. */ -}}
{{- define "hapax.checkLoginOfKeda" -}}
{{- $name := "HAPAX_KAFKA_CONSUMER_SECURITY_PROTOCOL" -}}
{{- if not (include "hapax.isSet" (list . $name)) -}}{{- $name = "HAPAX_KAFKA_SECURITY_PROTOCOL" -}}{{- end -}}
{{- $protocol := include "hapax.setting" (list . $name) | lower -}}
{{- $metadata := .Values.keda.metadata | default dict -}}
{{- if not .Values.keda.authenticationRef -}}
{{- if and (hasPrefix "sasl_" $protocol) (ne (toString $metadata.sasl) "aws_msk_iam") }}
- keda.authenticationRef is missing: brokers ask for a login ({{ $name }} is {{ $protocol }}), and KEDA, which asks them for the lag itself, has none, so nothing would scale. Name a TriggerAuthentication with user and password, and set keda.metadata.sasl{{ if eq $protocol "sasl_ssl" }} and keda.metadata.tls{{ end }}
{{- else if and (hasSuffix "ssl" $protocol) (ne (toString $metadata.tls) "enable") }}
- keda.metadata.tls is missing: brokers speak TLS ({{ $name }} is {{ $protocol }}), and KEDA, which asks them for the lag itself, would not, so nothing would scale. Set it to enable; a CA of your own goes into a TriggerAuthentication, named in keda.authenticationRef
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Of Kafka alone: the URL of Redis is in a Secret, and a Service's port need not be that of its pods. */ -}}
{{- define "hapax.checkNetwork" -}}
{{- if and .Values.networkPolicy.enabled (ne .Values.mode "sidecar") (ne (include "hapax.delivery" .) "pull") -}}
{{- $open := list -}}
{{- range .Values.networkPolicy.kafka.ports -}}{{- $open = append $open (toString (int64 .)) -}}{{- end -}}
{{- $any := false -}}
{{- range .Values.networkPolicy.extraEgress -}}
{{- if not .ports -}}{{- $any = true -}}{{- end -}}
{{- range .ports -}}
{{- if or (not .port) .endPort (kindIs "string" .port) -}}
{{- $any = true -}}
{{- else -}}
{{- $open = append $open (toString (int64 .port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $closed := list -}}
{{- range splitList "," (include "hapax.setting" (list . "HAPAX_BROKERS")) -}}
{{- with trim . -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" | default "9092" -}}
{{- if not (has $port $open) -}}{{- $closed = append $closed $port -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $closed (not $any) }}
- networkPolicy.kafka.ports lacks {{ $closed | uniq | join ", " }}, where HAPAX_BROKERS says that the brokers are: add it, or no pod reaches them
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hapax.checkScale" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled }}
- autoscaling.enabled and keda.enabled: both would set the number of pods: keep one (keda knows the lag)
{{- end -}}
{{- range $name := list "autoscaling" "keda" -}}
{{- with index $.Values $name -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
- {{ $name }}.minReplicas is greater than {{ $name }}.maxReplicas
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.keda.enabled -}}
{{- $context := . -}}
{{- range list "HAPAX_BROKERS" "HAPAX_GROUP" "HAPAX_TOPICS" -}}
{{- if not (include "hapax.setting" (list $context .)) }}
- keda.enabled needs {{ . }} in `config`: KEDA asks Kafka for the lag itself
{{- end -}}
{{- end -}}
{{- include "hapax.checkLoginOfKeda" . -}}
{{- end -}}
{{- if and (eq (include "hapax.store" .) "memory") (ne .Values.mode "sidecar") (or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled .Values.keda.enabled) }}
- HAPAX_STORE=memory is shared with no other process, and each pod would handle what another has handled: use Redis, or one replica
{{- end -}}
{{- end -}}

{{- define "hapax.check" -}}
{{- $found := "" -}}
{{- range list "Secrets" "Names" "Listeners" "Ends" "Mode" "Scale" "Network" -}}
{{- $found = printf "%s\n%s" $found (include (printf "hapax.check%s" .) $) -}}
{{- end -}}
{{- $lines := list -}}
{{- range splitList "\n" $found -}}{{- with trim . -}}{{- $lines = append $lines . -}}{{- end -}}{{- end -}}
{{- if $lines -}}
{{- fail (printf "hapax: these values cannot work:\n%s" (join "\n" $lines)) -}}
{{- end -}}
{{- end -}}
