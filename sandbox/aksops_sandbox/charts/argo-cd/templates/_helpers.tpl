{{/* Labels of an object: (dict "root" $ "name" "argocd-server" "component" "server") */}}
{{- define "argo-cd.labels" -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: argocd
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ include "argo-cd.version" .root }}
{{- end -}}

{{- define "argo-cd.version" -}}
{{- default .Chart.AppVersion .Values.global.image.tag | replace "@" "-" | replace ":" "-" | trunc 63 | trimSuffix "-" | quote -}}
{{- end -}}

{{- define "argo-cd.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "argo-cd.image" -}}
{{ .Values.global.image.repository }}:{{ default .Chart.AppVersion .Values.global.image.tag }}
{{- end -}}

{{- define "argo-cd.config" -}}
{{- range $key, $value := .values }}
{{- if not (has $key (list "create" "annotations")) }}
{{ $key }}: {{ toString $value | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A pod template: (dict "root" "name" "component" "container" "values" "image" "command" "ports") */}}
{{- define "argo-cd.pod" -}}
metadata:
  labels:
    {{- include "argo-cd.labels" . | nindent 4 }}
    {{- range $labels := list .root.Values.global.podLabels .values.podLabels }}
    {{- with $labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  annotations:
    checksum/cm: {{ toJson .root.Values.configs.cm | sha256sum }}
    checksum/cmd-params: {{ toJson .root.Values.configs.params | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ .name }}
  terminationGracePeriodSeconds: 30
  nodeSelector:
    {{- toYaml .root.Values.global.nodeSelector | nindent 4 }}
  {{- with .root.Values.global.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - labelSelector:
        matchLabels:
          {{- include "argo-cd.selector" $ | nindent 10 }}
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .container }}
      image: {{ .image }}
      imagePullPolicy: {{ .root.Values.global.image.imagePullPolicy }}
      args: [{{ .command }}]
      resources:
        {{- toYaml (default dict .values.resources) | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: tmp
      emptyDir: {}
{{- end -}}
