#!/bin/bash
# Builds the Debian packages of mod_wsbalance: binary, debug symbols and source.
#
#   scripts/packaging/build-deb.sh [--check] [outdir]     outdir: build/packages/deb
#
# Installs what is missing (root; the distribution's packages). The version is that of CMakeLists.txt,
# the time in all files SOURCE_DATE_EPOCH, which is that of the last commit if nobody sets it.
# DEB_BUILD_OPTIONS=nocheck builds without unit tests, which is most of the time of a build.
# --check builds once more, elsewhere and later, and compares each byte; then lintian and blhc, and
# all that they say is printed. Exits 1 if packages differ, at a warning of lintian or a line of blhc.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
name=libapache2-mod-wsbalance

die() {
  echo "build-deb: $*" >&2
  exit 1
}

check=
outdir=
while (($#)); do
  case $1 in
    --check) check=yes ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) die "unknown option $1 (--help tells what there is)" ;;
    *) [[ ! $outdir ]] || die "one folder for the packages is enough: $outdir, $1"; outdir=$1 ;;
  esac
  shift
done
outdir=${outdir:-$root/build/packages/deb}
command -v dpkg-buildpackage >/dev/null || command -v apt-get >/dev/null ||
  die "this needs Debian or Ubuntu; packages of other systems: docs/install.md"
"$root/scripts/setup" packaging

version=$(sed -n 's/^project(mod_wsbalance VERSION \([0-9][0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
[[ $version ]] || die "no version in the project() line of $root/CMakeLists.txt"

# Ours is the project's repository; an unpacked release may lie inside another one.
in_git() { [[ $(git -C "$root" rev-parse --show-toplevel 2>/dev/null) == "$root" ]]; }
[[ ! -e $root/.git ]] || in_git ||
  die "git does not read $root (git config --global --add safe.directory $root)"

epoch=${SOURCE_DATE_EPOCH:-}
if [[ ! $epoch ]]; then
  if in_git; then
    epoch=$(git -C "$root" log -1 --format=%ct)
  else
    epoch=$(stat -c %Y "$root/CMakeLists.txt")
  fi
fi
export SOURCE_DATE_EPOCH=$epoch LC_ALL=C.UTF-8 TZ=UTC
umask 022

work=$(mktemp -d -t wsbalance-deb.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The tree as it is, without what was built in it.
sources() {
  cd "$root"
  if in_git; then
    git ls-files -z --cached --others --exclude-standard |
      while IFS= read -r -d '' file; do
        if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
      done
  else
    find . \( -path ./build -o -path './build-*' -o -name node_modules -o -name __pycache__ \
      -o -name .git -o -name .pytest_cache \) -prune \
      -o ! -type d -print0
  fi
}

# build <folder>: packages of the staged tree in a folder of that name.
# Their revision is below the "-1" of a package that a distribution may make one day.
build() {
  local tree=$work/$1/$name-$version
  mkdir -p "$tree" "$work/$1/out"
  (sources) | tar -C "$root" --null -T - -c | tar -C "$tree" -x
  find "$tree" -exec touch -h -d "@$epoch" {} +
  tar -C "$work/$1" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
    --mode=u+rw,go-w,a+rX --format=gnu -c "$name-$version" |
    xz -T1 -6 >"$work/$1/${name}_$version.orig.tar.xz"
  cp -a "$tree/scripts/packaging/debian" "$tree/debian"
  sed -e "s/@VERSION@/$version/" -e "s/@DATE@/$(date -R -d "@$epoch")/" \
    "$tree/debian/changelog.in" >"$tree/debian/changelog"
  rm "$tree/debian/changelog.in"
  find "$tree" -exec touch -h -d "@$epoch" {} +
  if ! (cd "$tree" && dpkg-buildpackage -us -uc) >"$work/$1/build.log" 2>&1 </dev/null; then
    mkdir -p "$outdir"
    cp "$work/$1/build.log" "$outdir/$name.build.log"
    tail -n 40 "$work/$1/build.log" >&2
    die "dpkg-buildpackage failed; all of its output is in $outdir/$name.build.log"
  fi
  find "$work/$1" -maxdepth 1 -type f -name "${name}*" -exec mv -t "$work/$1/out" {} +
  mv "$work/$1/build.log" "$work/$1/out/${name}_$version.build.log"
}

build first
mkdir -p "$outdir"
# Packages of another version may stay; others of this one would only confuse.
cp "$work/first/out/"* "$outdir/"
find "$outdir" -maxdepth 1 -name "${name}_$version-*.deb" -printf '%p\n'
[[ $check ]] || exit 0

failed=
bad() {
  echo "build-deb: $*" >&2
  failed=yes
}

# dpkg notes the environment and the time of a build in these two.
not_compared=(! -name '*.buildinfo' ! -name '*.changes' ! -name '*.build.log')
# Without its unit tests: what they leave must not be seen in a package.
DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} nocheck" build a-second-folder-with-a-longer-name/second
second=$work/a-second-folder-with-a-longer-name/second/out
files=0
while IFS= read -r file; do
  files=$((files + 1))
  if cmp "$work/first/out/$file" "$second/$file"; then
    echo "same bytes from two folders: $file"
  else
    bad "$file differs from build to build"
  fi
done < <(cd "$work/first/out" && find . -type f "${not_compared[@]}" -printf '%f\n' | sort)
((files >= 5)) || bad "only $files files to compare"

# The pages link to each other, to the examples and to the licence by relative paths.
dpkg-deb -x "$work/first/out/${name}_$version-"*.deb "$work/unpacked"
ln -s /usr/share/common-licenses "$work/unpacked/usr/share/"  # Every Debian has it; LICENSE is a link to it.
links=0
while IFS=: read -r page link; do
  links=$((links + 1))
  link=${link#](}
  [[ -e $(dirname "$page")/${link%[)#]} ]] || bad "${page#"$work/unpacked"}: there is no ${link%[)#]}"
done < <(grep -roE '\]\([^)#:[:space:]]+[)#]' --include='*.md' "$work/unpacked/usr/share/doc/$name")
((links >= 50)) || bad "only $links links in the pages of the package"
echo "links between the pages of the package: $links"

as_root=()
((EUID != 0)) || as_root=(--allow-root)
if ! lintian "${as_root[@]}" --info --display-info --pedantic --display-experimental \
    --fail-on error,warning --tag-display-limit 0 "$work/first/out/"*.changes >"$work/lintian" 2>&1; then
  bad "lintian has errors or warnings"
fi
grep -v '^N:' "$work/lintian" | sed 's/^/lintian: /' || true
grep -E '^[EWIPX]: ' "$work/lintian" >/dev/null || echo "lintian: says nothing"

if ! blhc --all --color "$outdir/${name}_$version.build.log" >"$work/blhc" 2>&1; then
  bad "blhc misses flags of Debian"
fi
sed 's/^/blhc: /' "$work/blhc"
[[ -s $work/blhc ]] || echo "blhc: says nothing about $(grep -cE -- ' -o [^ ]*\.(o|so|gch)( |$)' \
  "$outdir/${name}_$version.build.log") lines of compiler and linker"
[[ ! $failed ]]
