{{- define "etcdlike.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "etcdlike.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "etcdlike.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "etcdlike.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "etcdlike.operatorName" -}}
{{ include "etcdlike.fullname" . }}-operator
{{- end }}

{{- define "etcdlike.selectorLabels" -}}
app.kubernetes.io/name: {{ include "etcdlike.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "etcdlike.labels" -}}
{{ include "etcdlike.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: etcdlike
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "etcdlike.serviceAccountName" -}}
{{- if .Values.serviceAccount.name }}
{{- .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}
{{- include "etcdlike.operatorName" . }}
{{- else -}}
default
{{- end }}
{{- end }}

{{- define "etcdlike.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "etcdlike.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "etcdlike.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What the operator does in the namespaces it looks after; test/k8s/rbac.test.ts holds it to what it uses. */}}
{{- define "etcdlike.rules" -}}
- apiGroups: [etcdlike.io]
  resources: [etcdlikeclusters]
  verbs: [get, list, watch]
- apiGroups: [etcdlike.io]
  resources: [etcdlikeclusters/status]
  verbs: [update]
- apiGroups: [etcdlike.io]
  resources: [etcdlikemembers]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [etcdlike.io]
  resources: [etcdlikemembers/status]
  verbs: [patch]
- apiGroups: [etcdlike.io]
  resources: [etcdlikedefrags]
  verbs: [list, watch, create, delete]
- apiGroups: [etcdlike.io]
  resources: [etcdlikedefrags/status]
  verbs: [patch]
- apiGroups: [etcdlike.io]
  resources: [etcdlikesnapshots]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [etcdlike.io]
  resources: [etcdlikesnapshotschedules, etcdlikerestores]
  verbs: [list, watch]
- apiGroups: [etcdlike.io]
  resources: [etcdlikesnapshots/status, etcdlikesnapshotschedules/status, etcdlikerestores/status]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, delete]
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims]
  verbs: [list, watch, create, patch, delete]
# Certificates that the operator makes, and Secrets that tls.peer and tls.client name.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
