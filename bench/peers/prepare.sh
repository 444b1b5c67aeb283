#!/usr/bin/env bash
# Prepares the Python environment of the benchmark's peers, outside the repository.
#
#   bench/peers/prepare.sh            make or complete the environment, print its versions
#   bench/peers/prepare.sh --check    install nothing, only print the versions
#
# CRAFT_BENCH_ENV     folder of the virtual environment
#                     (default: contrastive-ft/bench-python in the user's cache folder)
# CRAFT_BENCH_PYTHON  an interpreter that already has the packages; it is used as it is
# PYTHON              the interpreter that makes the virtual environment (default: python3)
#
# The last line on stdout is one JSON object: {"python", "versions", "craft"}; everything
# else goes to stderr. Exit code 0 when the peers can run, 1 when they cannot.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
environment="${CRAFT_BENCH_ENV:-${XDG_CACHE_HOME:-$HOME/.cache}/contrastive-ft/bench-python}"
torch_version=2.13.0
craft_version=0.4.3

say() { printf '%s\n' "$*" >&2; }

check_only=no
case "${1:-}" in
  '') ;;
  --check) check_only=yes ;;
  *)
    say "prepare.sh: unknown argument '$1'; it accepts --check or nothing"
    exit 1
    ;;
esac

if [ -n "${CRAFT_BENCH_PYTHON:-}" ]; then
  python="$CRAFT_BENCH_PYTHON"
  check_only=yes
else
  python="$environment/bin/python"
fi

if [ "$check_only" = no ]; then
  if [ ! -x "$python" ]; then
    base="${PYTHON:-python3}"
    if ! command -v "$base" >/dev/null; then
      say "prepare.sh: no Python: '$base' is not on the PATH. Install Python 3.10 or later, or set PYTHON."
      exit 1
    fi
    say "making the virtual environment $environment with $("$base" --version 2>&1)"
    "$base" -m venv "$environment"
  fi
  install() { "$python" -m pip install --quiet --disable-pip-version-check "$@" >&2; }

  # The CPU build is a tenth of the size of the default Linux wheel. Where pip is not
  # configured with a place that has it, the default wheel does the same work.
  if ! "$python" -c "import torch; assert torch.__version__.split('+')[0] == '$torch_version'" 2>/dev/null; then
    say "installing torch $torch_version"
    install "torch==$torch_version+cpu" 2>/dev/null || install "torch==$torch_version"
  fi
  say "installing the packages of requirements.txt"
  install --requirement "$here/requirements.txt"

  # Its own requirements name older releases of the trainer packages, so none are followed.
  if ! "$python" -c 'import craft.trainers' 2>/dev/null; then
    say "trying contrastive-ft $craft_version"
    if ! install --no-deps --retries 1 --timeout 20 "contrastive-ft==$craft_version" 2>/dev/null; then
      say "pip cannot get contrastive-ft $craft_version: craft_sft.py runs the stand-in instead"
    fi
  fi
fi

if [ ! -x "$python" ] && ! command -v "$python" >/dev/null; then
  say "prepare.sh: '$python' does not exist. Run bench/peers/prepare.sh without --check, or correct CRAFT_BENCH_PYTHON."
  exit 1
fi

"$python" - <<'PYTHON'
import importlib.metadata as metadata
import json
import platform
import sys

names = ["torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors", "contrastive-ft"]
versions = {"python": platform.python_version()}
for name in names:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        versions[name] = None
missing = [name for name in names[:-1] if versions[name] is None]
for name, version in versions.items():
    print(f"{name:15} {version or 'absent'}", file=sys.stderr)
craft = "original" if versions["contrastive-ft"] else "stand-in"
print(json.dumps({"python": sys.executable, "versions": versions, "craft": craft}))
if missing:
    print(f"prepare.sh: absent from {sys.executable}: {', '.join(missing)}", file=sys.stderr)
    sys.exit(1)
PYTHON
