{{- /* files/nginx.conf.template with its GATEWAY_ names replaced, as envsubst does it elsewhere. */ -}}
{{- define "skald.nginx" -}}
{{- $n := .Values.gateway.nginxConfig -}}
{{- if $n.file -}}
{{- tpl $n.file . -}}
{{- else -}}
{{- $port := include "skald.port" . -}}
{{- $url := dict -}}
{{- range $component := list "write" "read" "backend" -}}
{{- $c := ternary $component "singleBinary" (ne (include "skald.scalable" $) "") -}}
{{- $_ := set $url $component (printf "http://%s:%s" (include "skald.componentHost" (dict "root" $ "component" $c)) $port) -}}
{{- end -}}
{{- $ssl := ternary " ssl" "" $n.ssl -}}
{{- $passwords := include "skald.passwords" . -}}
{{- $values := dict
  "LISTEN" (printf "%d%s" (int .Values.gateway.containerPort) $ssl)
  "LISTEN_IPV6" (ternary (printf "listen [::]:%d%s;" (int .Values.gateway.containerPort) $ssl) "" $n.enableIPv6)
  "WRITE_URL" (default $url.write $n.customWriteUrl)
  "READ_URL" (default $url.read $n.customReadUrl)
  "BACKEND_URL" (default $url.backend $n.customBackendUrl)
  "RESOLVER" (default (printf "%s.%s.svc.%s. valid=5s" .Values.global.dnsService .Values.global.dnsNamespace .Values.global.clusterDomain) $n.resolver)
  "TIMEOUT" $n.timeout
  "PUSH_TIMEOUT" $n.pushTimeout
  "TAIL_TIMEOUT" "3700s"
  "MAX_BODY" $n.clientMaxBodySize
  "TMP" "/tmp"
  "AUTH" (ternary "auth_basic \"Loki\"; auth_basic_user_file /etc/nginx/secrets/.htpasswd;" "" (ne $passwords ""))
  "TENANT_FROM" (ternary "remote_user" "http_x_scope_orgid" (gt (len .Values.loki.tenants) 0))
  "AUTHORIZATION" (ternary "''" "$http_authorization" (ne $passwords ""))
  "LOG_SUCCESS" (ternary "1" "0" .Values.gateway.verboseLogging)
  "LOG_FORMAT" (default "$remote_addr - $remote_user [$time_local] $status \"$request\" $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\" $upstream_addr $upstream_response_time" $n.logFormat)
  "HTTP_SNIPPET" (tpl $n.httpSnippet .)
  "SERVER_SNIPPET" (tpl $n.serverSnippet .)
  "LOCATION_SNIPPET" (tpl $n.locationSnippet .)
-}}
{{- $text := .Files.Get "files/nginx.conf.template" -}}
{{- range $name, $value := $values -}}
{{- $text = replace (printf "${GATEWAY_%s}" $name) (toString $value) $text -}}
{{- end -}}
{{- $text -}}
{{- end -}}
{{- end -}}
