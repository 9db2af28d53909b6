{{- /* Written by tests/chart/generate. */ -}}
{{- define "hapax.secretVariables" -}}HAPAX_ID_KEY HAPAX_PUSH_TOKEN HAPAX_REDIS_SENTINEL_PASSWORD HAPAX_REDIS_URL HAPAX_TOKEN{{- end -}}
