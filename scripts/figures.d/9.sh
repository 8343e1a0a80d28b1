# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # Sourced by scripts/figures, which has these variables.
# shellcheck source=scripts/figures.d/crowd.sh
. "$root/scripts/figures.d/crowd.sh"

# restart_again <restarts>: gracefully, 2 seconds apart; sets unanswered, the numbers of those after
# which, 2 seconds later, an ordinary GET had no answer in another second.
restart_again() {
  local number
  unanswered=()
  for ((number = 1; number <= $1; number++)); do
    kill -USR1 "$httpd_pid"
    sleep 2
    curl -sf --max-time 1 "http://127.0.0.1:$port/" >/dev/null || unanswered+=("$number")
  done
}

# between_marks <what> <seconds or restarts>: httpd is left alone, or restarted.
between_marks() {
  mark
  start_gets
  if [[ $1 == alone ]]; then sleep "$2"; else restart_again "$2"; fi
  mark
  stop_gets
}

figure_9() {
  local restarts=${1:-100} certificate unanswered=() alone stock_restarts
  alone=$((restarts * 2 < 60 ? restarts * 2 : 60))
  stock_restarts=$((restarts < 10 ? restarts : 10))
  make_certificate
  echo
  echo "Figure 9: 2,000 tunnels (half TLS), 2 messages a second each, 50 of them leave and 50 come" \
    "each second; then $restarts graceful restarts, 2 seconds apart; a GET each 100 ms"
  start_control
  crowd_head
  # Whoever leaves is chosen at random, so many a carrier lives for minutes for its last tunnel.
  first_children=2
  start_tls event 150 "ws://127.0.0.1:$member_port/" "ProxyPass /ws/ ws://127.0.0.1:$member_port/" \
    "WSBalanceMaxCarriers 1000"
  talk_through "150 workers" "$alone" "$restarts" yes
  # What 2,000 tunnels need there: a thread each, and room for twice as many children.
  threads=64 first_children='' slots=80 is_stock=yes
  start_tls event 2560 "http://127.0.0.1:$member_port/ upgrade=websocket" \
    "ProxyPass /ws/ http://127.0.0.1:$member_port/ upgrade=websocket" \
    "LoadModule proxy_http_module $(apxs -q LIBEXECDIR)/mod_proxy_http.so"
  talk_through "stock, 2,560" "$alone" "$stock_restarts" ''
  echo "  stock: ${#unanswered[@]} of $stock_restarts restarts after which a GET had no answer: ${unanswered[*]}"
  threads=25 slots='' first_children=2
  start event 150
  start_gets
  restart_again "$stock_restarts"
  stop_gets
  echo "  stock without a tunnel, $stock_restarts restarts, 150 workers: a GET took" \
    "$(value max_ms "$run_dir/gets") ms at most, $(value failed "$run_dir/gets") failed"
  first_children='' is_stock=''
  stop_control
}

# talk_through <what> <seconds alone> <restarts> <must all be well>
talk_through() {
  local conditions
  join_crowd "$port" 1000 --turnover 25
  join_crowd "$tls_port" 1000 --turnover 25 --tls
  wait_for_crowd || true
  sleep 2
  between_marks alone "$2"
  mapfile -t conditions < <(all_is_well)
  crowd_row event "$1" "${conditions[@]}"
  [[ ! $4 ]] || start_looking
  between_marks restarts "$3"
  if [[ $4 ]]; then mapfile -t conditions < <(all_is_well); else conditions=(); fi
  crowd_row event "  $3 restarts" "${conditions[@]}"
  [[ ! $4 ]] || stop_looking
  dismiss_crowd
  if [[ $4 ]]; then
    mapfile -t conditions < <(all_is_well)
    say_carriers "10#$(value old_slot_s "$run_dir/slots" | tr -d .) < 50" "${conditions[@]}"
  fi
  forget_crowd
}
