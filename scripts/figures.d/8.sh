# shellcheck shell=bash
# shellcheck disable=SC2154,SC2059  # Sourced by scripts/figures, which has these variables.

# spread <key>: its values in all lines of stdin: the median, the least and the most.
spread() {
  tr ' ' '\n' | sed -n "s/^$1=//p" | sort -g |
    awk '{a[NR] = $1} END {printf "%.2f (%.2f to %.2f)", a[int((NR + 1) / 2)], a[1], a[NR]}'
}

figure_8() {
  local count=2000 rounds=10 round client other_port='' when lines=$run_dir/lines slow=$run_dir/slow
  local push_port=$member_port form='%-13s %-20s %-20s %-20s %8s %8s  %s'
  echo
  echo "Figure 8: a fast pair in the one child of an httpd with 2,000 slow readers (512 bytes a" \
    "second each) of members that never stop, and one in another httpd without them, in turns," \
    "message by message; its times / those of the other, median (least to most) of $rounds rounds"
  start_member
  # Small socket buffers: else the kernel is busy for long with filling megabytes for each of them.
  local conf=("SendBufferSize 16384" "ReceiveBufferSize 16384"
    "ProxyPass /ws/ ws://127.0.0.1:$push_port/ receivebuffersize=16384"
    "ProxyPass /fast/ ws://127.0.0.1:$member_port/")
  start_other event 25 "${conf[@]}"
  start event 25 "${conf[@]}"
  echo "open_at_end=$count" >"$slow"
  printf "$form\n" "slow readers" mean p50 p99 "p50 us" echoes ""
  for when in none "$count"; do
    if [[ $when != none ]]; then
      "$wsload" slow --port "$port" --path /ws/push --count "$count" --at-once 8 --read 512 \
        --seconds $((2 * rounds + 8)) >"$slow" &
      client=$!
      wait_until_open "$client" "$slow"
      sleep 2  # What may be kept for them is kept.
    fi
    for ((round = 0; round < rounds; round++)); do
      "$wsload" pair --port "$port" --other-port "$other_port" --path /fast/ --seconds 2
    done >"$lines"
    [[ $when == none ]] || wait "$client" || true
    row "$form" "$when" "$(spread mean_ratio <"$lines")" "$(spread p50_ratio <"$lines")" \
      "$(spread p99_ratio <"$lines")" "$(spread p50_us <"$lines" | cut -d. -f1)" \
      "$(grep -o '^echoes=[0-9]*' "$lines" | awk -F= '{s += $2} END {print s}')" \
      "$(verdict "$(grep -c ' failed=0 ' "$lines") == rounds" "$(crashes) == 0" \
        "10#$(spread p50_ratio <"$lines" | cut -d' ' -f1 | tr -d .) <= 110" \
        "$(value open_at_end "$slow") == count")"
  done
}
