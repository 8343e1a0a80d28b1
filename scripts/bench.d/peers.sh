# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016  # Sourced by scripts/bench, which has these variables.
#
# The contestants of scripts/bench: their configurations, as equal as they can be. Each listens on
# a plain and a TLS port of its own and sends everything to the member.

declare -A plain_port tls_port peer_pid

# The most tunnels that are open at once, and children of 512 workers for as many in httpd alone.
most_tunnels=$((idle > 1000 ? idle : 1000))
most_children=$(((most_tunnels + 511) / 512 + 1))

# The key is worth nothing and ends with run_dir; servers read it with the rights of httpd's children.
make_certificate() {
  certificate=$run_dir/certificate.pem key=$run_dir/key.pem
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj "/CN=127.0.0.1" -addext "basicConstraints=critical,CA:FALSE" \
    -out "$certificate" -keyout "$key" \
    >"$run_dir/openssl.out" 2>&1 || die "openssl made no certificate: $(cat "$run_dir/openssl.out")"
  cat "$certificate" "$key" >"$run_dir/both.pem"
  chmod 644 "$key" "$run_dir/both.pem"
}

# httpd_conf <peer> <children> <threads> <route> <line>...
httpd_conf() {
  local peer=$1 children=$2 threads=$3 route=$4 run_dir=$run_dir/$1
  conf_head "${plain_port[$peer]}" mpm_event authz_core authz_host dir status proxy ssl
  printf '%s\n' "${@:5}"
  cat <<CONF
ListenBacklog 4096
LogLevel error
ServerLimit $children
StartServers 2
ThreadLimit $threads
ThreadsPerChild $threads
MaxRequestWorkers $((children * threads))
MaxSpareThreads $((children * threads))
ProxyTimeout 3600
SSLSessionCache none
ProxyPass /ws/ $route
Listen 127.0.0.1:${tls_port[$peer]}
<VirtualHost 127.0.0.1:${tls_port[$peer]}>
  SSLEngine on
  SSLProtocol -all +TLSv1.3
  SSLCertificateFile $certificate
  SSLCertificateKeyFile $key
  ProxyPass /ws/ $route
</VirtualHost>
CONF
}

# nginx_conf <peer> <line of the location>...
nginx_conf() {
  local dir=$run_dir/$1
  cat <<CONF
daemon off;
worker_processes 2;
worker_rlimit_nofile $((2 * most_tunnels + 4000));
pid $dir/nginx.pid;
error_log $dir/error.log error;
events { worker_connections $((2 * most_tunnels + 3000)); }
http {
  access_log off;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
  ssl_protocols TLSv1.3;
  ssl_session_cache off;
  ssl_certificate $certificate;
  ssl_certificate_key $key;
  upstream member { server 127.0.0.1:$member_port; }
  server {
    listen 127.0.0.1:${plain_port[$1]} reuseport backlog=4096;
    listen 127.0.0.1:${tls_port[$1]} ssl reuseport backlog=4096;
    location / {
      proxy_pass http://member;
      proxy_http_version 1.1;
      proxy_set_header Host \$host;
      proxy_set_header Upgrade \$http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      $(printf '%s\n      ' "${@:2}")
    }
  }
}
CONF
}

haproxy_conf() {
  cat <<CONF
global
  nbthread 2
  maxconn $((most_tunnels + 1000))
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  default_backend members
frontend plain
  bind 127.0.0.1:${plain_port[$1]} backlog 4096
frontend tls
  bind 127.0.0.1:${tls_port[$1]} backlog 4096 ssl crt $run_dir/both.pem ssl-min-ver TLSv1.3
backend members
  server m1 127.0.0.1:$member_port
CONF
}

# start_peer <peer>: sets plain_port, tls_port and peer_pid of it.
start_peer() {
  local peer=$1 dir=$run_dir/$1 modules as=() command port
  modules=$("$apxs" -q LIBEXECDIR)
  rm -rf "$dir"
  mkdir -p "$dir/www"
  plain_port[$peer]=$(free_port)
  tls_port[$peer]=$(free_port)
  case $peer in
    module)
      httpd_conf module 2 75 "ws://127.0.0.1:$member_port/" \
        "LoadModule wsbalance_module $run_dir/mod_wsbalance.so" ;;
    upgrade)
      httpd_conf upgrade "$most_children" 512 "http://127.0.0.1:$member_port/ upgrade=websocket" \
        "LoadModule proxy_http_module $modules/mod_proxy_http.so" ;;
    wstunnel)  # It leaves upgrades to mod_proxy_http, if that is there, unless told not to.
      httpd_conf wstunnel "$most_children" 512 "ws://127.0.0.1:$member_port/" \
        "LoadModule proxy_wstunnel_module $modules/mod_proxy_wstunnel.so" \
        "ProxyWebsocketFallbackToProxyHttp Off" ;;
    nginx) nginx_conf nginx ;;
    nginx64k) nginx_conf nginx64k "proxy_buffer_size 64k;" "proxy_buffers 8 64k;" \
      "proxy_busy_buffers_size 128k;" ;;
    haproxy) haproxy_conf haproxy ;;
  esac >"$dir/conf"
  case $peer in
    module | upgrade | wstunnel)
      command=("$(httpd_program)" -DFOREGROUND -f "$dir/conf") ;;
    nginx*) command=(nginx -p "$dir" -e "$dir/error.log" -c "$dir/conf") ;;
    haproxy) command=(haproxy -db -f "$dir/conf") ;;
  esac
  if ((EUID == 0)) && [[ $peer == nginx* || $peer == haproxy ]]; then
    as=(--reuid "$(child_user)" --regid "$(id -gn "$(child_user)")" --clear-groups)
    chown "$(child_user)" "$dir"
  fi
  setpriv "${as[@]}" --pdeathsig TERM "${command[@]}" </dev/null >"$dir/out.log" 2>&1 &
  peer_pid[$peer]=$!
  helper_pids+=($!)
  for port in "${plain_port[$peer]}" "${tls_port[$peer]}"; do
    wait_for_port "$port" "${peer_pid[$peer]}" || { cat "$dir"/*.log >&2; die "$peer did not start"; }
  done
}

stop_peer() {
  local pid=${peer_pid[$1]} left=() other
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  for other in "${helper_pids[@]}"; do
    [[ $other == "$pid" ]] || left+=("$other")
  done
  helper_pids=("${left[@]}")
}

versions() {
  echo "$("$(httpd_program)" -v | sed -n 's/^Server version: //p'), $(nginx -v 2>&1 | sed 's/.*: //')," \
    "$(haproxy -v | sed -n '1s/^\(HAProxy\) version \([^ ]*\).*/\1 \2/p'), $(openssl version | cut -d' ' -f1,2);" \
    "$(nproc) cores, $rounds rounds of $seconds s"
}
