{{- /* Names, labels, images; which servers run; who they are to each other. */ -}}

{{- define "skald.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's name, with ours added unless it says it already. */ -}}
{{- define "skald.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- else if or (contains (include "skald.name" .) .Release.Name) (contains "loki" .Release.Name) -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "skald.name" .) | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "skald.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "skald.clusterLabel" -}}
{{- default (include "skald.fullname" .) .Values.clusterLabelOverride -}}
{{- end -}}

{{- define "skald.selectorLabels" -}}
app.kubernetes.io/name: {{ include "skald.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "skald.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "skald.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Dict: root, image (overrides in turn). */ -}}
{{- define "skald.image" -}}
{{- $image := dict -}}
{{- range .images -}}{{- range $key, $value := . -}}{{- if $value -}}{{- $_ := set $image $key $value -}}{{- end -}}{{- end -}}{{- end -}}
{{- $registry := coalesce .root.Values.global.image.registry $image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "skald.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "skald.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "skald.storageType" -}}
{{- with .Values.loki.storage -}}
{{- if .type -}}{{ .type }}
{{- else if or .bucketNames.chunks .object_store.type $.Values.minio.enabled -}}{{ default "s3" .object_store.type }}
{{- else -}}filesystem
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "skald.mode" -}}
{{- if .Values.deploymentMode -}}
{{- if eq .Values.deploymentMode "Monolithic" -}}SingleBinary{{- else -}}{{ .Values.deploymentMode }}{{- end -}}
{{- else if or (eq (include "skald.storageType" .) "filesystem") (gt (int .Values.singleBinary.replicas) 0) -}}SingleBinary
{{- else -}}SimpleScalable
{{- end -}}
{{- end -}}

{{- /* "true" for the kinds of servers that the mode has. */ -}}
{{- define "skald.single" -}}
{{- if contains "SingleBinary" (include "skald.mode" .) -}}true{{- end -}}
{{- end -}}
{{- define "skald.scalable" -}}
{{- if contains "SimpleScalable" (include "skald.mode" .) -}}true{{- end -}}
{{- end -}}

{{- define "skald.componentNames" -}}
{{- if include "skald.scalable" . }}write read backend{{ end }}{{ if include "skald.single" . }} singleBinary{{ end -}}
{{- end -}}

{{- /* Dict: root, component (key of the values). */ -}}
{{- define "skald.replicas" -}}
{{- $given := (index .root.Values .component).replicas -}}
{{- if kindIs "invalid" $given -}}
{{- get (dict "write" 3 "read" 2 "backend" 2 "singleBinary" 1) .component -}}
{{- else -}}
{{- int $given -}}
{{- end -}}
{{- end -}}

{{- define "skald.componentLabel" -}}
{{- if eq . "singleBinary" }}single-binary{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- /* Name of a component's objects: <full>-write, …; the single process has the plain name. */ -}}
{{- define "skald.componentFullname" -}}
{{- $full := include "skald.fullname" .root -}}
{{- if eq .component "singleBinary" }}{{ $full }}{{ else }}{{ $full }}-{{ .component }}{{ end -}}
{{- end -}}

{{- define "skald.componentSelectorLabels" -}}
{{ include "skald.selectorLabels" .root }}
app.kubernetes.io/component: {{ include "skald.componentLabel" .component }}
{{- with (index .root.Values .component).selectorLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "skald.port" -}}
{{- int (default 3100 .Values.loki.server.http_listen_port) -}}
{{- end -}}

{{- /* Host name of a service from everywhere in the cluster. Dict: root, service. */ -}}
{{- define "skald.host" -}}
{{ .service }}.{{ include "skald.namespace" .root }}.svc.{{ .root.Values.global.clusterDomain }}
{{- end -}}

{{- define "skald.componentHost" -}}
{{- include "skald.host" (dict "root" .root "service" (printf "%s-headless" (include "skald.componentFullname" .))) -}}
{{- end -}}

{{- /* More than one server: they need a ring, and with it gossip. */ -}}
{{- define "skald.clustered" -}}
{{- $count := 0 -}}
{{- if include "skald.single" . -}}{{- $count = int (include "skald.replicas" (dict "root" . "component" "singleBinary")) -}}{{- end -}}
{{- if or (include "skald.scalable" .) (gt $count 1) .Values.singleBinary.autoscaling.enabled -}}true{{- end -}}
{{- end -}}

{{- define "skald.replicationFactor" -}}
{{- $given := .Values.loki.commonConfig.replication_factor -}}
{{- if kindIs "invalid" $given -}}
{{- if include "skald.clustered" . }}3{{ else }}1{{ end -}}
{{- else -}}{{ int $given }}{{- end -}}
{{- end -}}

{{- define "skald.gatewayName" -}}
{{ include "skald.fullname" . }}-gateway
{{- end -}}

{{- define "skald.memberlistName" -}}
{{ include "skald.fullname" . }}-memberlist
{{- end -}}

{{- define "skald.minioName" -}}
{{ include "skald.fullname" . }}-minio
{{- end -}}

{{- /* Where users send and ask. */ -}}
{{- define "skald.url" -}}
{{- $ns := include "skald.namespace" . -}}
{{- if .Values.gateway.enabled -}}
{{ .Values.gateway.nginxConfig.schema }}://{{ include "skald.gatewayName" . }}.{{ $ns }}.svc.{{ .Values.global.clusterDomain }}{{ if ne (int .Values.gateway.service.port) 80 }}:{{ .Values.gateway.service.port }}{{ end }}
{{- else if include "skald.single" . -}}
http://{{ include "skald.fullname" . }}.{{ $ns }}.svc.{{ .Values.global.clusterDomain }}:{{ include "skald.port" . }}
{{- end -}}
{{- end -}}

{{- define "skald.passwords" -}}
{{- if or .Values.gateway.basicAuth.enabled .Values.loki.tenants -}}true{{- end -}}
{{- end -}}

{{- define "skald.passwordSecret" -}}
{{- default (include "skald.gatewayName" .) .Values.gateway.basicAuth.existingSecret -}}
{{- end -}}
