"""A CUDA toolkit from Python packages, for building the feature `cuda` on a machine that has neither a toolkit nor a GPU.

    python3 toolkit.py FOLDER [--libraries]

FOLDER gets `nvidia/cu13`, which is laid out as an installed toolkit and is what `CUDA_HOME` is set to: the compiler and headers, and
in `lib/stubs` libraries with the names and functions of those that the program is linked with (driver, cuBLAS, cuRAND, NVRTC), which
all fail when they are called. The real ones come from the machine that the program runs on; with `--libraries` those that Python
packages hold are put into `lib` too. `make cuda-toolkit` does this.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The bindings' module in cudarc, the name under which the library is loaded, and its own error for not being there:
# CUDA_ERROR_STUB_LIBRARY, NOT_INITIALIZED, INITIALIZATION_FAILED, INTERNAL_ERROR.
LINKED = {
    "driver": ("libcuda.so.1", 34),
    "cublas": ("libcublas.so.13", 1),
    "cublaslt": ("libcublasLt.so.13", 1),
    "curand": ("libcurand.so.10", 203),
    "nvrtc": ("libnvrtc.so.13", 11),
}


def install(folder, requirements):
    """In one go: a second one would put its `nvidia` in the place of the first one's."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
    files = [argument for name in requirements for argument in ("-r", str(HERE / name))]
    subprocess.run([*pip, *files], check=True)


def complete(home):
    """What the packages leave to an installer: run bits, names without a version, `lib64`."""
    for program in [*(home / "bin").iterdir(), *(home / "nvvm/bin").iterdir()]:
        if program.is_file():
            program.chmod(0o755)
    for library in (home / "lib").glob("lib*.so.*"):
        link(library.with_name(library.name.split(".so.")[0] + ".so"), library.name)
    link(home / "lib64", "lib")


def link(path, target):
    if path.is_symlink() or path.exists():
        path.unlink()
    path.symlink_to(target)


def bindings():
    """The folder of cudarc's sources, of the version in the lock file."""
    cargo = ["cargo", "metadata", "--locked", "--format-version", "1", "--features", "weaverec-model/cuda"]
    packages = json.loads(subprocess.run(cargo, check=True, capture_output=True, cwd=HERE).stdout)["packages"]
    manifest = next(p["manifest_path"] for p in packages if p["name"] == "cudarc")
    return Path(manifest).parent / "src"


def stub(function, returns, error):
    if "*const" in returns:
        return f'const char *{function}(void) {{ return "a stub in place of the library"; }}\n'
    return f"int {function}(void) {{ return {error}; }}\n"


def stubs(folder):
    folder.mkdir(exist_ok=True)
    sources = bindings()
    for module, (name, error) in LINKED.items():
        text = (sources / module / "sys/mod.rs").read_text()
        functions = dict(re.findall(r"pub unsafe fn (\w+)\(.*\)(?: -> (.*))? {", text))
        if not functions:
            sys.exit(f"{sources / module}: no functions found; the bindings are written in another way than this script knows")
        code = "".join(stub(*function, error) for function in sorted(functions.items()))
        library = folder / name
        compiler = ["cc", "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{name}", "-o", str(library)]
        subprocess.run(compiler, input=code, text=True, check=True)
        link(folder / (name.split(".so.")[0] + ".so"), name)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--libraries"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    folder = Path(arguments[0])
    home = folder / "nvidia/cu13"
    requirements = ["requirements-toolkit.txt"]
    if "--libraries" in sys.argv:
        requirements.append("requirements-libraries.txt")
    install(folder, requirements)
    complete(home)
    stubs(home / "lib/stubs")
    version = subprocess.run([home / "bin/nvcc", "--version"], check=True, capture_output=True, text=True).stdout
    print(re.search(r"release \S+", version).group().rstrip(","), "in", home)


if __name__ == "__main__":
    main()
