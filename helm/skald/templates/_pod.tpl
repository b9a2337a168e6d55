{{- /* Pods of the servers, and what each workload has around it. Dict: root, component, kind. */ -}}

{{- define "skald.podTemplate" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $v := index $root.Values $component -}}
{{- $loki := $root.Values.loki -}}
{{- $global := $root.Values.global -}}
{{- $rules := and $root.Values.sidecar.rules.enabled (has $component (list "backend" "singleBinary")) -}}
{{- $persistent := include "skald.persistent" . -}}
metadata:
  annotations:
    checksum/config: {{ include "skald.config" $root | sha256sum }}
    {{- with $loki.podAnnotations }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
    {{- with $v.podAnnotations }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  labels:
    {{- include "skald.componentSelectorLabels" . | nindent 4 }}
    app.kubernetes.io/part-of: memberlist
    app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
    {{- with $loki.podLabels }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
    {{- with $v.podLabels }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "skald.serviceAccountName" $root }}
  automountServiceAccountToken: {{ or $rules $root.Values.serviceAccount.automountServiceAccountToken }}
  enableServiceLinks: {{ $loki.enableServiceLinks }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with coalesce $v.priorityClassName $global.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml $loki.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ int $v.terminationGracePeriodSeconds }}
  {{- with coalesce $v.dnsConfig $loki.dnsConfig }}
  dnsConfig:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  {{- with coalesce $v.hostAliases $loki.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  containers:
    - name: loki
      image: {{ include "skald.image" (dict "root" $root "images" (list $loki.image $v.image)) }}
      imagePullPolicy: {{ $loki.image.pullPolicy }}
      {{- with coalesce $v.command $loki.command }}
      command: [{{ . | quote }}]
      {{- end }}
      args:
        - -config.file=/etc/loki/config/config.yaml
        - -target={{ coalesce $v.targetModule (get (dict "write" "write" "read" "read" "backend" "backend" "singleBinary" "all") $component) }}
        {{- if include "skald.clustered" $root }}
        - -common.instance-addr=$(POD_IP)
        - -memberlist.advertise-addr=$(POD_IP)
        {{- end }}
        {{- if and $root.Values.zoneAwareness.enabled (has $component (list "write" "singleBinary")) }}
        - -ingester.availability-zone=$(ZONE)
        {{- end }}
        {{- if and $loki.storage.existingSecret (not (has "-config.expand-env=true" (concat $global.extraArgs $v.extraArgs))) }}
        - -config.expand-env=true
        {{- end }}
        {{- with concat $global.extraArgs $v.extraArgs }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
      ports:
        - {name: http-metrics, containerPort: {{ include "skald.port" $root }}, protocol: TCP}
        - {name: http-memberlist, containerPort: 7946, protocol: TCP}
      env:
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        {{- if $root.Values.zoneAwareness.enabled }}
        - name: ZONE
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['{{ $root.Values.zoneAwareness.label }}']"}}
        {{- end }}
        {{- with concat $global.extraEnv $v.extraEnv }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
      {{- $from := concat $global.extraEnvFrom $v.extraEnvFrom }}
      {{- with $loki.storage.existingSecret }}
      {{- $from = append $from (dict "secretRef" (dict "name" (tpl . $root))) }}
      {{- end }}
      {{- with $from }}
      envFrom:
        {{- tpl (toYaml .) $root | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml $loki.containerSecurityContext | nindent 8 }}
      {{- range $probe := list "readinessProbe" "livenessProbe" "startupProbe" }}
      {{- with coalesce (index $v $probe) (index $loki $probe) }}
      {{ $probe }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- if $v.lifecycle }}
      lifecycle:
        {{- toYaml $v.lifecycle | nindent 8 }}
      {{- else if and (eq $component "write") $v.autoscaling.enabled }}
      # A writer that the autoscaler takes away may never come back: what it holds is written out first.
      lifecycle:
        preStop:
          httpGet: {path: "/ingester/shutdown?terminate=false&flush=true", port: http-metrics}
      {{- end }}
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/loki/config}
        - {name: runtime-config, mountPath: /etc/loki/runtime-config}
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /var/loki}
        {{- if $rules }}
        - {name: sc-rules-volume, mountPath: {{ $root.Values.sidecar.rules.folder | quote }}}
        {{- end }}
        {{- with concat $global.extraVolumeMounts $v.extraVolumeMounts }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
    {{- if $rules }}
    {{- include "skald.rulesSidecar" $root | nindent 4 }}
    {{- end }}
    {{- with $v.extraContainers }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  affinity:
    {{- if $v.affinity }}
    {{- tpl (ternary $v.affinity (toYaml $v.affinity) (kindIs "string" $v.affinity)) $root | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "skald.componentSelectorLabels" . | nindent 16 }}
    {{- end }}
  topologySpreadConstraints:
    {{- if $v.topologySpreadConstraints }}
    {{- tpl (ternary $v.topologySpreadConstraints (toYaml $v.topologySpreadConstraints) (kindIs "string" $v.topologySpreadConstraints)) $root | nindent 4 }}
    {{- else }}
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "skald.componentSelectorLabels" $ | nindent 10 }}
    {{- end }}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    - name: config
      {{- include "skald.configVolume" $root | nindent 6 }}
    - name: runtime-config
      configMap: {name: {{ include "skald.fullname" $root }}-runtime}
    - name: tmp
      emptyDir: {}
    {{- if not $persistent }}
    - name: data
      {{- toYaml $v.persistence.dataVolumeParameters | nindent 6 }}
    {{- end }}
    {{- if $rules }}
    - name: sc-rules-volume
      emptyDir: {}
    {{- end }}
    {{- with concat $global.extraVolumes $v.extraVolumes }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* Whether the component has volumes of its own. `persistence.enabled` is the older name. */ -}}
{{- define "skald.persistent" -}}
{{- $p := (index .root.Values .component).persistence -}}
{{- if and (ne .kind "Deployment") $p.volumeClaimsEnabled (ne (toString $p.enabled) "false") -}}true{{- end -}}
{{- end -}}

{{- define "skald.configVolume" -}}
{{- $name := tpl .Values.loki.configObjectName . -}}
{{- if eq $name (include "skald.name" .) -}}{{- $name = include "skald.fullname" . -}}{{- end -}}
{{- if .Values.loki.existingSecretForConfig }}
secret: {secretName: {{ .Values.loki.existingSecretForConfig }}}
{{- else if eq .Values.loki.configStorageType "Secret" }}
secret: {secretName: {{ $name }}}
{{- else }}
configMap: {name: {{ $name }}}
{{- end }}
{{- end -}}

{{- define "skald.rulesSidecar" -}}
{{- $s := .Values.sidecar -}}
- name: loki-sc-rules
  image: {{ $s.image.repository }}:{{ $s.image.tag }}{{ with $s.image.sha }}@sha256:{{ . }}{{ end }}
  imagePullPolicy: {{ $s.image.pullPolicy }}
  env:
    - {name: METHOD, value: {{ $s.rules.watchMethod | quote }}}
    - {name: LABEL, value: {{ $s.rules.label | quote }}}
    {{- with $s.rules.labelValue }}
    - {name: LABEL_VALUE, value: {{ . | quote }}}
    {{- end }}
    - {name: FOLDER, value: {{ $s.rules.folder | quote }}}
    - {name: RESOURCE, value: {{ $s.rules.resource | quote }}}
    {{- with $s.rules.searchNamespace }}
    - {name: NAMESPACE, value: {{ (kindIs "slice" . | ternary (join "," .) .) | quote }}}
    {{- end }}
    {{- with $s.rules.script }}
    - {name: SCRIPT, value: {{ . | quote }}}
    {{- end }}
    - {name: LOG_LEVEL, value: {{ $s.rules.logLevel | quote }}}
  securityContext:
    {{- toYaml $s.securityContext | nindent 4 }}
  resources:
    {{- toYaml $s.resources | nindent 4 }}
  volumeMounts:
    - {name: sc-rules-volume, mountPath: {{ $s.rules.folder | quote }}}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- /* A whole workload with its services, disruption budget and autoscaler. */ -}}
{{- define "skald.workload" -}}
{{- $root := .root -}}
{{- $v := index $root.Values .component -}}
{{- $name := include "skald.componentFullname" . -}}
{{- $set := eq .kind "StatefulSet" -}}
apiVersion: apps/v1
kind: {{ .kind }}
metadata:
  name: {{ $name }}
  namespace: {{ include "skald.namespace" $root }}
  labels:
    {{- include "skald.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ include "skald.componentLabel" .component }}
    app.kubernetes.io/part-of: memberlist
  {{- with merge (dict) $v.annotations $root.Values.loki.annotations }}
  annotations:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
spec:
  {{- if not $v.autoscaling.enabled }}
  replicas: {{ include "skald.replicas" . }}
  {{- end }}
  revisionHistoryLimit: {{ int $root.Values.loki.revisionHistoryLimit }}
  {{- if $set }}
  serviceName: {{ $name }}-headless
  podManagementPolicy: {{ $v.podManagementPolicy }}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}
  {{- if $v.persistence.enableStatefulSetAutoDeletePVC }}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: {{ $v.persistence.whenDeleted }}, whenScaled: {{ $v.persistence.whenScaled }}}
  {{- end }}
  {{- else }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}
  {{- end }}
  selector:
    matchLabels:
      {{- include "skald.componentSelectorLabels" . | nindent 6 }}
  template:
    {{- include "skald.podTemplate" . | nindent 4 }}
  {{- if or (include "skald.persistent" .) (and $set $v.extraVolumeClaimTemplates) }}
  volumeClaimTemplates:
    {{- if include "skald.persistent" . }}
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
        {{- with $v.persistence.annotations }}
        annotations:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with $v.persistence.labels }}
        labels:
          {{- toYaml . | nindent 10 }}
        {{- end }}
      spec:
        accessModes:
          {{- toYaml $v.persistence.accessModes | nindent 10 }}
        {{- with $v.persistence.storageClass }}
        storageClassName: {{ if eq . "-" }}""{{ else }}{{ . }}{{ end }}
        {{- end }}
        {{- with $v.persistence.volumeAttributesClassName }}
        volumeAttributesClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ $v.persistence.size | quote }}}
        {{- with $v.persistence.selector }}
        selector:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- end }}
    {{- with $v.extraVolumeClaimTemplates }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
---
{{ include "skald.service" (merge (dict "headless" false) .) }}
---
{{ include "skald.service" (merge (dict "headless" true) .) }}
{{- if and $v.podDisruptionBudget (or $v.autoscaling.enabled (gt (int (include "skald.replicas" .)) 1)) }}
---
{{ include "skald.pdb" (dict "root" $root "name" $name "budget" $v.podDisruptionBudget "selector" (include "skald.componentSelectorLabels" .) "component" (include "skald.componentLabel" .component)) }}
{{- end }}
{{- if $v.autoscaling.enabled }}
---
{{ include "skald.hpa" (dict "root" $root "name" $name "kind" .kind "autoscaling" $v.autoscaling "component" (include "skald.componentLabel" .component)) }}
{{- end }}
{{- end -}}

{{- define "skald.service" -}}
{{- $root := .root -}}
{{- $v := index $root.Values .component -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "skald.componentFullname" . }}{{ if .headless }}-headless{{ end }}
  namespace: {{ include "skald.namespace" $root }}
  labels:
    {{- include "skald.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ include "skald.componentLabel" .component }}
    {{- if .headless }}
    variant: headless
    prometheus.io/service-monitor: "false"
    {{- end }}
    {{- with merge (dict) $v.service.labels $root.Values.loki.serviceLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) $v.service.annotations $root.Values.loki.serviceAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ if .headless }}ClusterIP{{ else }}{{ default "ClusterIP" $v.service.type }}{{ end }}
  {{- if .headless }}
  clusterIP: None
  {{- end }}
  ports:
    - {name: http-metrics, port: {{ include "skald.port" $root }}, targetPort: http-metrics, protocol: TCP}
  selector:
    {{- include "skald.componentSelectorLabels" . | nindent 4 }}
{{- end -}}

{{- define "skald.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ include "skald.namespace" .root }}
  labels:
    {{- include "skald.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if kindIs "map" .budget }}
  {{- toYaml .budget | nindent 2 }}
  {{- else }}
  maxUnavailable: 1
  {{- end }}
  selector:
    matchLabels:
      {{- .selector | nindent 6 }}
{{- end -}}

{{- define "skald.hpa" -}}
{{- $a := .autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ include "skald.namespace" .root }}
  labels:
    {{- include "skald.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ .kind }}, name: {{ .name }}}
  minReplicas: {{ int $a.minReplicas }}
  maxReplicas: {{ int $a.maxReplicas }}
  metrics:
    {{- with $a.targetInflightQueries }}
    - type: External
      external:
        metric:
          name: loki_query_scheduler_inflight_requests
          selector: {matchLabels: {quantile: "0.75"}}
        target: {type: AverageValue, averageValue: {{ . | quote }}}
    {{- end }}
    {{- with $a.customMetrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $a.targetCPUUtilizationPercentage }}
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ int . }}}}
    {{- end }}
    {{- with $a.targetMemoryUtilizationPercentage }}
    - type: Resource
      resource: {name: memory, target: {type: Utilization, averageUtilization: {{ int . }}}}
    {{- end }}
  behavior:
    {{- if $a.behavior }}
    {{- toYaml $a.behavior | nindent 4 }}
    {{- else if eq .component "write" }}
    # Writers hold data: come slowly, go more slowly.
    scaleUp:
      policies: [{type: Pods, value: 1, periodSeconds: 900}]
    scaleDown:
      policies: [{type: Pods, value: 1, periodSeconds: 1800}]
      stabilizationWindowSeconds: 3600
    {{- else }}
    scaleUp:
      policies: [{type: Pods, value: 2, periodSeconds: 60}]
    scaleDown:
      policies: [{type: Pods, value: 1, periodSeconds: 300}]
      stabilizationWindowSeconds: 600
    {{- end }}
{{- end -}}
