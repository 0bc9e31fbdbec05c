"""The compiled kernels of `sdv_wgangp.ops`; its docstring names their GPU architectures."""
