{{- define "workload.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "workload.serviceAccount" -}}
{{- coalesce .Values.serviceAccount.name .Values.platform.serviceAccount (include "workload.name" .) -}}
{{- end -}}

{{- define "workload.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "workload.labels" -}}
{{ include "workload.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "workload.image" -}}
{{- printf "%s/%s@%s" (default .Values.image.registry .Values.platform.registry) .Values.image.repository .Values.image.digest -}}
{{- end -}}

{{/* Environment from the platform's facts; empty ones are left out. */}}
{{- define "workload.platformEnvironment" -}}
{{- $platform := .Values.platform -}}
{{- $facts := dict
  "AZURE_CLIENT_ID" $platform.clientId
  "AZURE_TENANT_ID" $platform.tenantId
  "PLATFORM_ENVIRONMENT" $platform.environment
  "PLATFORM_LOCATION" $platform.location
  "KEY_VAULT_NAME" $platform.keyVault
  "POSTGRESQL_HOST" $platform.postgresql.host
  "POSTGRESQL_PORT" (ternary $platform.postgresql.port "" (ne $platform.postgresql.host ""))
  "POSTGRESQL_DATABASE" $platform.postgresql.database
  "POSTGRESQL_USER" $platform.postgresql.user
  "SERVICE_BUS_NAMESPACE" $platform.serviceBus.namespace
  "SERVICE_BUS_QUEUE" $platform.serviceBus.queue
  "SERVICE_BUS_TOPIC" $platform.serviceBus.topic
  "REDIS_HOST" $platform.redis.host
  "REDIS_PORT" (ternary $platform.redis.port "" (ne $platform.redis.host ""))
  "STORAGE_BLOB_ENDPOINT" $platform.storage.blobEndpoint
  "STORAGE_CONTAINER" $platform.storage.container
-}}
{{- range $name, $value := $facts }}
{{- if $value }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "workload.telemetryEnvironment" -}}
{{- if .Values.telemetry.enabled }}
OTEL_SERVICE_NAME: {{ default (include "workload.name" .) .Values.telemetry.serviceName | quote }}
OTEL_TRACES_SAMPLER: parentbased_traceidratio
OTEL_TRACES_SAMPLER_ARG: {{ .Values.telemetry.samplingRatio | toString | quote }}
{{- $attributes := list (printf "service.version=%s" .Chart.AppVersion) (printf "service.namespace=%s" .Release.Namespace) }}
{{- with .Values.platform.environment }}
{{- $attributes = append $attributes (printf "deployment.environment.name=%s" .) }}
{{- end }}
{{- range $name, $value := .Values.telemetry.resourceAttributes }}
{{- $attributes = append $attributes (printf "%s=%s" $name (toString $value)) }}
{{- end }}
OTEL_RESOURCE_ATTRIBUTES: {{ join "," $attributes | quote }}
{{- with .Values.telemetry.otlpEndpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- with .Values.platform.applicationInsights.connectionString }}
APPLICATIONINSIGHTS_CONNECTION_STRING: {{ . | quote }}
APPLICATIONINSIGHTS_AUTHENTICATION_STRING: {{ printf "Authorization=AAD;ClientId=%s" $.Values.platform.clientId | quote }}
{{- end }}
{{- end }}
{{- end -}}
