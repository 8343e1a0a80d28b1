#!/bin/bash
# Makes the source package for RHEL 9 and later and Fedora, and prints the paths of what it made.
#
#   scripts/packaging/build-rpm.sh [--without-tests] [outdir]
#
# --without-tests: where there is no Catch2. outdir: build/packages if not said. There are, of the
# last commit:
#   mod_wsbalance-<version>.tar.xz             the sources
#   mod_wsbalance-<version>-1.src.rpm          what is meant to be published
#   mod_wsbalance-<version>-1.<dist>.<arch>.rpm   built from it; its unit tests passed
#
# On Debian and Ubuntu the last one proves the spec and nothing else: it must never be published
# (its file name says so), because it is made for Debian's httpd, OpenSSL and libstdc++.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0"; }
with=()
if [[ ${1:-} == --without-tests ]]; then with=(--without tests); shift; fi
case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
(($# <= 1)) || { usage >&2; exit 2; }
die() { echo "build-rpm: $*" >&2; exit 1; }
outdir=$(readlink -m "${1:-$root/build/packages}")
cd "$root"

if [[ -e /etc/debian_version ]]; then
  scripts/setup packaging >&2
  foreign=(--nodeps --load "$PWD/scripts/packaging/rpm/macros.shim")
else
  command -v rpmbuild >/dev/null || die "rpmbuild is missing: dnf install rpm-build"
  foreign=()
fi

mkdir -p "$outdir"
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
mkdir "$top"/{SOURCES,SPECS}

archive=$(scripts/packaging/make-source "$top/SOURCES")
version=$(basename "$archive" .tar.xz)
version=${version#mod_wsbalance-}
seconds=$(git log -1 --format=%ct)
spec=$top/SPECS/mod_wsbalance.spec
{
  echo "%global wsb_version $version"
  git show HEAD:scripts/packaging/rpm/mod_wsbalance.spec
  LC_ALL=C date -u -d "@$seconds" "+* %a %b %d %Y mod_wsbalance developers <dev@wsbalance.invalid> - $version-1"
  echo "- Version $version"
} >"$spec"
chmod 644 "$spec"
touch -d "@$seconds" "$archive" "$spec"

# run <log> <command>...: what it says is shown only if it fails.
run() {
  local log=$top/$1
  shift
  "$@" </dev/null >"$log" 2>&1 || { tail -n 60 "$log" >&2; die "$1 failed"; }
}

# The same commit gives the same bytes: no time and no name of this machine. And no %dist: the
# source package is for all of them, and keeps the paths that it was made with.
export SOURCE_DATE_EPOCH=$seconds TZ=UTC
same=(--define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1"
      --define "clamp_mtime_to_source_date_epoch 1")
# rpmbuild --rebuild takes what it unpacked away again, the sources too.
cd "$top"
run srpm.log rpmbuild -bs --define "_topdir ." "${same[@]}" --define "dist %{nil}" SPECS/mod_wsbalance.spec
for file in "$archive" "$top"/SRPMS/*.src.rpm; do
  mv "$file" "$outdir/"
  echo "$outdir/$(basename "$file")"
done
source_package=$outdir/$(basename "$file")
run rpm.log rpmbuild --rebuild --define "_topdir $top" "${same[@]}" "${with[@]}" "${foreign[@]}" "$source_package"

for file in "$top"/RPMS/*/*.rpm; do
  mv "$file" "$outdir/"
  echo "$outdir/$(basename "$file")"
done
