# shellcheck shell=bash
# shellcheck disable=SC2154,SC2059  # Sourced by scripts/figures, which has these variables.

# start_socket_io_member <name>: adds its line to members.
start_socket_io_member() {
  start_helper "socket_io.$1" node "$run_dir/node/socket_io_member.js" "$1"
  wait_until test -s "$run_dir/socket_io.$1" || die "a member did not start"
  members+=("BalancerMember http://127.0.0.1:$(head -n 1 "$run_dir/socket_io.$1")")
}

# of <key>: a number of what the clients have said.
of() { /usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$run_dir/seen" "$1"; }

figure_13() {
  local clients=${1:-200} cookie line modules members=() name mpm
  local form='%-8s %-10s %8s %8s %8s %8s %9s  %-34s %s'
  modules=$(apxs -q LIBEXECDIR)
  (cd "$root/tests/server" && /usr/bin/python3 -B -c 'import node_peer; node_peer.install()')
  cp -r "$root/tests/server/node" "$run_dir/"
  chmod -R a+rX "$run_dir/node"
  for name in a b c; do start_socket_io_member "$name"; done
  echo
  echo "Figure 13: $clients clients of socket.io at once, polling then upgrade, 3 http:// members in" \
    "turn; 10 messages each before the upgrade is through and 10 behind it"
  printf "$form\n" MPM cookie well polling echoes several failed "clients of each member" ""
  for mpm in event worker prefork; do
    for cookie in on off; do
      line="WSBalanceSticky cookie=ROUTE"
      [[ $cookie == on ]] || line=
      start "$mpm" 400 "LoadModule slotmem_shm_module $modules/mod_slotmem_shm.so" \
        "LoadModule proxy_balancer_module $modules/mod_proxy_balancer.so" \
        "LoadModule lbmethod_byrequests_module $modules/mod_lbmethod_byrequests.so" \
        "LoadModule proxy_http_module $modules/mod_proxy_http.so" \
        "<Proxy balancer://chat>" "${members[@]}" "$line" "</Proxy>" \
        "ProxyPass /socket.io/ balancer://chat/socket.io/"
      node "$run_dir/node/socket_io_clients.js" "$(printf \
        '{"url": "http://127.0.0.1:%s", "path": "/socket.io/", "clients": %s, "messages": 10, "cookies": true}' \
        "$port" "$clients")" >"$run_dir/seen"
      # Without the cookie nobody expects anything: it says what the cookie is for.
      row "$form" "$mpm" "$cookie" "$(of well)" "$(of began_by_polling)" "$(of echoes)" \
        "$(of met_several)" "$((clients - $(of well)))" "$(of members)" \
        "$([[ $cookie == off ]] && echo - || verdict "$(of well) == clients" \
          "$(of began_by_polling) == clients" "$(of echoes) == 20 * clients" "$(of met_several) == 0" \
          "$(crashes) == 0")"
    done
  done
}
