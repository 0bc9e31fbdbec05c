"""Builds what is compiled, sdv_wgangp._C and _native; everything else is in pyproject.toml.

The operators, ``_C``, are one abi3 library on torch's stable ABI with the CPU and the CUDA
kernels. Whatever torch it was built with, it runs with any Python from 3.10 and any torch from
2.10 on, with or without CUDA. The searches on NumPy arrays, ``_native``, are a module of pybind11,
one file for each version of Python: so is a wheel that holds it.

Environment variables:

``SDV_WGANGP_REQUIRE_EXTENSION=1``  a build that fails is an error; otherwise the package installs
                                    without it and the reference implementations serve
``SDV_WGANGP_CUDA=0``               leave the CUDA kernels out although a CUDA compiler is there
``TORCH_CUDA_ARCH_LIST``            GPU architectures to compile for, for example ``"8.6 9.0"``
``CUDA_HOME``                       where the CUDA toolkit is, if not in a usual place
``SDV_WGANGP_SANITIZE=1``           the CPU kernels alone, with gcc's address and undefined
                                    behaviour sanitizers: for csrc/sanitize.sh, which runs the
                                    tests on them
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup
from setuptools.errors import CompileError
from torch.utils import cpp_extension

TORCH_TARGET = "0x020a000000000000"  # torch 2.10, the oldest whose stable ABI has all that is used
CUDA_ARCHITECTURES = "7.5 8.0 9.0"  # newer GPUs compile the last one's PTX when they first load it
# Errors stop the process. An infinity from a division by zero is no error in these kernels.
SANITIZERS = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-O1",
    "-g",
    "-fno-var-tracking",  # reports name lines alone, and this halves the time to compile templates
]


def sanitizing() -> bool:
    return os.environ.get("SDV_WGANGP_SANITIZE", "0") not in ("", "0")


def is_optional() -> bool:
    return os.environ.get("SDV_WGANGP_REQUIRE_EXTENSION", "0") in ("", "0")


def cuda_home() -> str | None:
    """The CUDA toolkit's folder, or None. CPU builds of torch look for none, so this does."""
    if os.environ.get("SDV_WGANGP_CUDA") == "0" or sanitizing():
        return None
    nvcc = shutil.which("nvcc")
    folders = [
        os.environ.get("CUDA_HOME"),
        cpp_extension.CUDA_HOME,
        *sorted(map(str, Path("/usr/local").glob("cuda*")), reverse=True),
        # Last: an nvcc on the path may be a script outside the toolkit.
        nvcc and str(Path(nvcc).resolve().parent.parent),
    ]
    return next(
        (folder for folder in folders if folder and Path(folder, "bin/nvcc").exists()), None
    )


def extension():
    """The extension, with CUDA kernels where there is a CUDA compiler."""
    csrc = Path("csrc")
    sources = [*csrc.glob("*.cpp"), *csrc.glob("cpu/*.cpp")]
    macros = [("TORCH_TARGET_VERSION", TORCH_TARGET)]
    standard = "-std=c++20"  # for designated initialisers; torch 2.10 would take C++17
    flags = {
        "cxx": [
            standard,
            "-O3",
            "-fno-math-errno",
            "-fno-trapping-math",
            "-fvisibility=hidden",
            "-Wall",
        ],
        "nvcc": [standard, "-O3", "-Xcompiler", "-fvisibility=hidden"],
    }
    cuda = {}
    if home := cuda_home():
        cpp_extension.CUDA_HOME = home
        sources += csrc.glob("cuda/*.cu")
        listed = os.environ.get("TORCH_CUDA_ARCH_LIST", CUDA_ARCHITECTURES)
        names = listed.replace(";", " ").replace("+PTX", "").split()
        numbers = [name.replace(".", "") for name in names]
        flags["nvcc"] += [f"-gencode=arch=compute_{n},code=sm_{n}" for n in numbers]
        flags["nvcc"] += [f"-gencode=arch=compute_{n},code=compute_{n}" for n in numbers[-1:]]
        macros += [("USE_CUDA", None), ("SDV_CUDA_ARCHITECTURES", f'"{" ".join(names)}"')]
        cuda = {
            "include_dirs": [f"{home}/include"],
            "library_dirs": [f"{home}/lib64"],
            # Static, so that a machine without CUDA can load the library.
            "libraries": ["cudart_static", "rt", "dl", "pthread"],
        }
    link = []
    if sys.platform == "linux":
        # libtorch.so, though a CPU build's is empty, must stay among the needed libraries: in a
        # CUDA build it is the way to libtorch_cuda.so, where the current stream is asked for.
        # The linker drops libraries named before --no-as-needed, hence the second -ltorch.
        link = ["-Wl,--no-as-needed", "-ltorch", "-s"]
    if sanitizing():
        flags["cxx"] += SANITIZERS
        link = [*link[:-1], *SANITIZERS]
    return cpp_extension.CppExtension(
        "sdv_wgangp._C",
        sorted(map(str, sources)),
        depends=sorted(map(str, csrc.rglob("*.h"))),
        define_macros=macros,
        extra_compile_args=flags,
        extra_link_args=link,
        py_limited_api=True,
        optional=is_optional(),
        **cuda,
    )


def native():
    """The searches on NumPy arrays."""
    # Without contraction a * b + c is what it is in NumPy.
    flags = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-Wall"]
    link = ["-s"] if sys.platform == "linux" else []
    if sanitizing():
        flags, link = [*flags, *SANITIZERS], SANITIZERS
    return Pybind11Extension(
        "sdv_wgangp._native",
        sorted(map(str, Path("csrc/native").glob("*.cpp"))),
        depends=["csrc/cpu/vector.h", "csrc/formulas.h"],
        cxx_std=17,
        extra_compile_args=[*flags, "-pthread"],
        extra_link_args=[*link, "-pthread"],
        optional=is_optional(),
    )


class BuildExtension(cpp_extension.BuildExtension):
    """Torch's; what Ninja cannot compile is an error that setuptools lets optional ones have."""

    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except RuntimeError as error:
            raise CompileError(str(error)) from error


setup(
    ext_modules=[extension(), native()],
    cmdclass={"build_ext": BuildExtension},
)
