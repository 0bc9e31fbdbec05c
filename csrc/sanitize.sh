#!/usr/bin/env bash
# Builds the CPU operators and the searches with gcc's address and undefined behaviour sanitizers and
# runs their tests on that build. Any error stops the tests with a report. Arguments go to pytest;
# without any, tests/ops and those of the searches. Needs Linux, gcc and its libasan; leaves
# build/sanitized behind.
#
#     csrc/sanitize.sh
#     csrc/sanitize.sh tests/ops/test_moments.py -k views
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
[[ $# -gt 0 ]] || set -- tests/ops tests/encoding/test_relations_counting.py

SDV_WGANGP_SANITIZE=1 SDV_WGANGP_REQUIRE_EXTENSION=1 python setup.py --quiet build \
  --build-lib build/sanitized --build-temp build/sanitized-objects

# Tests run beside that build, so that it is the package they import, not the one in this folder.
arguments=()
for argument in "$@"; do
  if [[ -e ${argument%%::*} ]]; then argument=$root/$argument; fi
  arguments+=("$argument")
done
cd build/sanitized

# The interpreter was not built with the sanitizer, so its library must be loaded first; libstdc++
# with it, or exceptions are not seen. What Python keeps until the end is no leak of the kernels.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
python -c '
import sdv_wgangp.ops as ops
from sdv_wgangp import _C, _native
from sdv_wgangp.encoding.relations import counting
assert ops.status().compiled, ops.status()
assert counting.status().endswith(": loaded"), counting.status()
for library in (_C, _native):
    assert "sanitized" in library.__file__, library
    built = open(library.__file__, "rb").read()
    for sanitizer in (b"__asan_report", b"__ubsan_handle"):
        assert sanitizer in built, f"{library.__file__} was built without {sanitizer.decode()}"
'
exec python -m pytest -p no:cacheprovider --rootdir "$root" -c "$root/pyproject.toml" \
  "${arguments[@]}"
