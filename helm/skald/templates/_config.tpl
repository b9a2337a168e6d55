{{- /* The configuration: defaults that follow from the values, the blocks of the values laid over them, structuredConfig last. */ -}}

{{- define "skald.s3" -}}
{{- $s3 := .root.Values.loki.storage.s3 -}}
{{- if .root.Values.minio.enabled }}
endpoint: {{ include "skald.host" (dict "root" .root "service" (include "skald.minioName" .root)) }}:9000
bucketnames: {{ .bucket }}
access_key_id: {{ .root.Values.minio.rootUser }}
secret_access_key: {{ .root.Values.minio.rootPassword }}
s3forcepathstyle: true
insecure: true
{{- else }}
{{- with $s3.s3 }}
s3: {{ . | quote }}
{{- end }}
{{- with $s3.endpoint }}
endpoint: {{ . | quote }}
{{- end }}
bucketnames: {{ .bucket | quote }}
{{- with $s3.region }}
region: {{ . | quote }}
{{- end }}
{{- with $s3.accessKeyId }}
access_key_id: {{ . | quote }}
{{- end }}
{{- with $s3.secretAccessKey }}
secret_access_key: {{ . | quote }}
{{- end }}
{{- with $s3.signatureVersion }}
signature_version: {{ . | quote }}
{{- end }}
s3forcepathstyle: {{ $s3.s3ForcePathStyle }}
insecure: {{ $s3.insecure }}
{{- if $s3.disable_dualstack }}
disable_dualstack: true
{{- end }}
{{- with $s3.storage_class }}
storage_class: {{ . | quote }}
{{- end }}
{{- range $key := list "http_config" "backoff_config" "sse" }}
{{- with index $s3 $key }}
{{ $key }}:
{{ toYaml . | indent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "skald.azure" -}}
{{- $azure := .root.Values.loki.storage.azure -}}
container_name: {{ .bucket | quote }}
{{- with $azure.accountName }}
account_name: {{ . | quote }}
{{- end }}
{{- with $azure.accountKey }}
account_key: {{ . | quote }}
{{- end }}
{{- with $azure.connectionString }}
connection_string: {{ . | quote }}
{{- end }}
use_managed_identity: {{ $azure.useManagedIdentity }}
use_federated_token: {{ $azure.useFederatedToken }}
{{- with $azure.userAssignedId }}
user_assigned_id: {{ . | quote }}
{{- end }}
{{- with $azure.requestTimeout }}
request_timeout: {{ . | quote }}
{{- end }}
{{- with $azure.endpointSuffix }}
endpoint_suffix: {{ . | quote }}
{{- end }}
{{- with $azure.chunkDelimiter }}
chunk_delimiter: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "skald.gcs" -}}
{{- $gcs := .root.Values.loki.storage.gcs -}}
bucket_name: {{ .bucket | quote }}
chunk_buffer_size: {{ int $gcs.chunkBufferSize }}
request_timeout: {{ $gcs.requestTimeout }}
enable_http2: {{ $gcs.enableHttp2 }}
{{- end -}}

{{- /* A storage block of one kind. Dict: root, bucket. */ -}}
{{- define "skald.bucket" -}}
{{- $type := include "skald.storageType" .root -}}
{{- if has $type (list "s3" "azure" "gcs") }}
{{ $type }}:
{{ include (printf "skald.%s" $type) . | trim | indent 2 }}
{{- end }}
{{- end -}}

{{- define "skald.chunksBucket" -}}
{{- if .Values.minio.enabled -}}{{ default (index .Values.minio.buckets 0).name .Values.loki.storage.bucketNames.chunks }}
{{- else -}}{{ default "" .Values.loki.storage.bucketNames.chunks }}{{- end -}}
{{- end -}}

{{- define "skald.rulerBucket" -}}
{{- default (include "skald.chunksBucket" .) .Values.loki.storage.bucketNames.ruler -}}
{{- end -}}

{{- define "skald.cacheBlock" -}}
{{- $cache := index .root.Values .key -}}
{{- $service := printf "%s-%s" (include "skald.fullname" .root) (kebabcase .key) -}}
default_validity: {{ $cache.defaultValidity }}
background:
  writeback_goroutines: {{ int $cache.writebackParallelism }}
  writeback_buffer: {{ int $cache.writebackBuffer }}
  writeback_size_limit: {{ $cache.writebackSizeLimit }}
memcached:
  batch_size: {{ int $cache.batchSize }}
  parallelism: {{ int $cache.parallelism }}
memcached_client:
  addresses: {{ default (printf "dnssrvnoa+_memcached-client._tcp.%s" (include "skald.host" (dict "root" .root "service" $service))) $cache.addresses | quote }}
  consistent_hash: true
  timeout: {{ $cache.timeout }}
  max_idle_conns: 72
{{- end -}}

{{- define "skald.defaultConfig" -}}
{{- $type := include "skald.storageType" . -}}
{{- $scalable := include "skald.scalable" . -}}
auth_enabled: {{ .Values.loki.auth_enabled }}
common:
  replication_factor: {{ include "skald.replicationFactor" . }}
  ring:
    kvstore:
      store: {{ if include "skald.clustered" . }}memberlist{{ else }}inmemory{{ end }}
    {{- if .Values.zoneAwareness.enabled }}
    zone_awareness_enabled: true
    {{- end }}
  {{- if $scalable }}
  compactor_address: http://{{ include "skald.host" (dict "root" . "service" (printf "%s-backend" (include "skald.fullname" .))) }}:{{ include "skald.port" . }}
  {{- end }}
  {{- if .Values.loki.storage.use_thanos_objstore }}
  {{- else if eq $type "filesystem" }}
  storage:
    filesystem:
      chunks_directory: {{ .Values.loki.storage.filesystem.chunks_directory }}
      rules_directory: {{ .Values.loki.storage.filesystem.rules_directory }}
  {{- else }}
  storage:
{{ include "skald.bucket" (dict "root" . "bucket" (include "skald.chunksBucket" .)) | trim | indent 4 }}
  {{- end }}
{{- if include "skald.clustered" . }}
memberlist:
  join_members:
    - {{ include "skald.host" (dict "root" . "service" (include "skald.memberlistName" .)) }}:7946
  # Parts that lost each other meet again.
  rejoin_interval: 1m
{{- end }}
runtime_config:
  file: /etc/loki/runtime-config/runtime-config.yaml
schema_config:
  configs:
    - from: "2024-04-01"
      store: tsdb
      object_store: {{ $type }}
      schema: v13
      index: {prefix: index_, period: 24h}
query_range:
  align_queries_with_step: true
  cache_results: true
  {{- if .Values.resultsCache.enabled }}
  results_cache:
    cache:
{{ include "skald.cacheBlock" (dict "root" . "key" "resultsCache") | indent 6 }}
  {{- end }}
{{- if .Values.chunksCache.enabled }}
chunk_store_config:
  chunk_cache_config:
{{ include "skald.cacheBlock" (dict "root" . "key" "chunksCache") | indent 4 }}
{{- end }}
storage_config:
  hedging: {at: 250ms, max_per_second: 20, up_to: 3}
  use_thanos_objstore: {{ .Values.loki.storage.use_thanos_objstore }}
  {{- if .Values.loki.storage.use_thanos_objstore }}
  object_store:
{{ omit .Values.loki.storage.object_store "type" | toYaml | indent 4 }}
  {{- end }}
  {{- if $scalable }}
  tsdb_shipper:
    index_gateway_client:
      server_address: dns+{{ include "skald.componentHost" (dict "root" . "component" "backend") }}:{{ include "skald.port" . }}
  {{- end }}
ruler:
  wal: {dir: /var/loki/ruler-wal}
  {{- if .Values.loki.rulerConfig.storage }}
  {{- else if .Values.sidecar.rules.enabled }}
  storage:
    type: local
    local: {directory: {{ .Values.sidecar.rules.folder }}}
  {{- else if and (ne $type "filesystem") (not .Values.loki.storage.use_thanos_objstore) }}
  storage:
    type: {{ $type }}
{{ include "skald.bucket" (dict "root" . "bucket" (include "skald.rulerBucket" .)) | trim | indent 4 }}
  {{- end }}
{{- if $scalable }}
index_gateway: {mode: simple}
{{- end }}
{{- end -}}

{{- /* Maps without the keys whose value is null: the server takes a missing key for its default. */ -}}
{{- define "skald.withoutNulls" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $out $key (include "skald.withoutNulls" $value | fromYaml) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{- define "skald.config" -}}
{{- if .Values.loki.config -}}
{{- tpl .Values.loki.config . -}}
{{- else -}}
{{- $config := include "skald.defaultConfig" . | fromYaml -}}
{{- with $config.Error }}{{ fail (printf "the configuration made from the values is no YAML: %s" .) }}{{ end -}}
{{- $blocks := dict "common" .Values.loki.commonConfig "ruler" (mergeOverwrite (dict) (default (dict) .Values.loki.ruler) .Values.loki.rulerConfig) -}}
{{- range $key := list "server" "limits_config" "ingester" "ingester_client" "distributor" "querier" "query_range" "query_scheduler" "frontend" "frontend_worker" "compactor" "index_gateway" "pattern_ingester" "storage_config" "chunk_store_config" "analytics" "tracing" "operational_config" "compactor_grpc_client" -}}
{{- $_ := set $blocks $key (index $.Values.loki $key) -}}
{{- end -}}
{{- range $key, $block := $blocks -}}
{{- if $block -}}
{{- $given := include "skald.withoutNulls" $block | fromYaml -}}
{{- $_ := set $config $key (mergeOverwrite (default (dict) (index $config $key)) $given) -}}
{{- end -}}
{{- end -}}
{{- if .Values.loki.memberlistConfig -}}
{{- $_ := set $config "memberlist" (deepCopy .Values.loki.memberlistConfig) -}}
{{- end -}}
{{- with .Values.loki.extraMemberlistConfig -}}
{{- $_ := set $config "memberlist" (mergeOverwrite (default (dict) $config.memberlist) (deepCopy .)) -}}
{{- end -}}
{{- if .Values.loki.schemaConfig -}}
{{- $_ := set $config "schema_config" (deepCopy .Values.loki.schemaConfig) -}}
{{- end -}}
{{- if and .Values.loki.storage.use_thanos_objstore (ne (include "skald.storageType" .) "filesystem") (not .Values.loki.rulerConfig.storage) -}}
{{- $store := .Values.loki.storage.object_store -}}
{{- $type := include "skald.storageType" . -}}
{{- $bucket := ternary (dict "container_name" (include "skald.rulerBucket" .)) (dict "bucket_name" (include "skald.rulerBucket" .)) (eq $type "azure") -}}
{{- $chunks := ternary (dict "container_name" (include "skald.chunksBucket" .)) (dict "bucket_name" (include "skald.chunksBucket" .)) (eq $type "azure") -}}
{{- $block := default (dict) (index $store $type) -}}
{{- $_ := set $config "ruler_storage" (dict "backend" $type $type (mergeOverwrite (deepCopy $block) $bucket)) -}}
{{- $_ := set $config.storage_config.object_store $type (mergeOverwrite $chunks (include "skald.withoutNulls" $block | fromYaml)) -}}
{{- end -}}
{{- $config = mergeOverwrite $config (deepCopy .Values.loki.structuredConfig) -}}
{{- toYaml $config -}}
{{- end -}}
{{- end -}}
