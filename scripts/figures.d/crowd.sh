# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034,SC2059,SC2016  # Sourced by scripts/figures, which has these variables.
#
# A crowd that talks, for the figures 9, 10 and 11: half of it TLS, tunnels that leave and others
# that come; an ordinary GET each 100 ms beside it, and a look at httpd's slots and carriers. Some
# talk through another httpd, that is left alone: what is late there the machine has to answer for.

crowd_pids=()
crowd_outs=()
control=
getter=
looker=

# join_crowd <port> <count> <option of wsload talk>...
join_crowd() {
  local out=$run_dir/crowd.${#crowd_pids[@]}
  : >"$out"  # Somebody may look for lines in it at once.
  "$wsload" talk --port "$1" --count "$2" "${@:3}" >"$out" &
  crowd_pids+=($!)
  crowd_outs+=("$out")
}

# wait_for_crowd: until all of it are there, 0 if that does not come.
wait_for_crowd() {
  local i
  for i in "${!crowd_pids[@]}"; do wait_until_open "${crowd_pids[i]}" "${crowd_outs[i]}"; done
  ((10#$(sum open) > 0))
}

# of_crowd <program of awk> <key>: over the last lines.
of_crowd() { for out in "${crowd_outs[@]}"; do value "$2" "$out"; done | awk "$1"; }
sum() { of_crowd '{s += $1} END {printf "%d", s}' "$1"; }
most() { of_crowd '$1 > m {m = $1} END {printf "%.0f", m}' "$1"; }

start_control() {
  start_other event 25 "ProxyPass /ws/ ws://127.0.0.1:$member_port/"
  "$wsload" talk --port "$other_port" --count 200 >"$run_dir/control" &
  control=$!
}
stop_control() {
  [[ ! $control ]] || kill -TERM "$control"
  control=
}

# late_in_control: how many would have been late of as many messages as the crowd's.
late_in_control() {
  awk -v late="$(value late "$run_dir/control")" -v of="$(value echoed "$run_dir/control")" \
    -v echoed="$(sum echoed)" 'BEGIN {printf "%d", of ? late * echoed / of : 0}'
}

# mark: each of the crowd has written a line of what was since the last mark.
mark() {
  local i before=()
  [[ ! $control ]] || kill -USR1 "$control"
  for i in "${!crowd_pids[@]}"; do
    before[i]=$(wc -l <"${crowd_outs[i]}")
    kill -USR1 "${crowd_pids[i]}"
  done
  for i in "${!crowd_pids[@]}"; do wait_until has_more_lines "${crowd_outs[i]}" "${before[i]}"; done
}
has_more_lines() { (($(wc -l <"$1") > $2)); }

dismiss_crowd() {
  kill -TERM "${crowd_pids[@]}"
  wait "${crowd_pids[@]}" || true
}
forget_crowd() { crowd_pids=() crowd_outs=(); }

start_gets() {
  "$wsload" get --port "$port" --path / --every 100 --seconds 100000 >"$run_dir/gets" &
  getter=$!
}
stop_gets() {
  kill -TERM "$getter"
  wait "$getter" || true
}

start_looking() {
  /usr/bin/python3 "$root/scripts/figures.d/slots.py" "$port" "$httpd_pid" "$run_dir/mod_wsbalance.so" \
    >"$run_dir/slots" &
  looker=$!
}
stop_looking() {
  kill -TERM "$looker"
  wait "$looker" || true
}

crowd_form='%-8s %-18s %5s %6s %7s %7s %5s %8s %4s %6s %8s %8s %7s %5s %6s %7s  %s'
crowd_head() {
  printf "$crowd_form\n" MPM "" open opened refused dropped away echoed lost ">50ms" "control" "p99.9 ms" \
    "max ms" GETs failed "max ms" ""
}

# crowd_row <mpm> <what> <condition>...: what was between the last two marks, and the GETs.
crowd_row() {
  local verdict=-
  (($# == 2)) || verdict=$(verdict "${@:3}")
  row "$crowd_form" "$1" "$2" "$(sum open)" "$(sum opened)" "$(($(sum refused) + $(sum silent)))" \
    "$(($(sum dropped) + $(sum unclean)))" "$(sum sent_away)" "$(sum echoed)" "$(sum lost)" \
    "$(sum late)" "$(late_in_control)" "$(most p999_ms)" "$(most max_ms)" "$(value gets "$run_dir/gets")" \
    "$(value failed "$run_dir/gets")" "$(value max_ms "$run_dir/gets")" "$verdict"
}

# Nothing is dropped, sent away, refused, lost or mixed up, and every GET was answered.
all_is_well() {
  printf '%s\n' "$(sum dropped) + $(sum unclean) + $(sum sent_away) == 0" \
    "$(sum refused) + $(sum silent) == 0" "$(sum lost) + $(sum wrong) == 0" \
    "$(sum echoed) > 0" "$(value failed "$run_dir/gets") == 0" "$(crashes) == 0"
}

carriers_now() {
  /usr/bin/python3 - "$run_dir/mod_wsbalance.so" <<'PYTHON'
import glob, sys
count = 0
for path in glob.glob("/proc/[0-9]*/comm"):
    try:
        if open(path).read() == "wsb-carrier\n":
            count += sys.argv[1] in open(path.replace("comm", "maps")).read()
    except OSError:
        pass
print(count)
PYTHON
}
no_carriers() { [[ $(carriers_now) == 0 ]]; }

# say_carriers <condition>...: what stop_looking() has left, and what is there after the crowd.
say_carriers() {
  wait_until no_tunnels || true
  wait_until no_carriers || true
  local left tunnels
  left=$(carriers_now) tunnels=$(status WSBalanceTunnels)
  row "  carriers: %s at most, %s MB for %s of them (PSS); a slot of an old generation: %s s; left: %s carriers, %s tunnels; crashes: %s  %s" \
    "$(value carriers "$run_dir/slots")" "$(mb "$(value pss_kb "$run_dir/slots")")" \
    "$(value pss_of "$run_dir/slots")" "$(value old_slot_s "$run_dir/slots")" "$left" "$tunnels" \
    "$(crashes)" "$(verdict "$left == 0" "${tunnels:-1} == 0" "$(crashes) == 0" "$@")"
}
