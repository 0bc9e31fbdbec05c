// The Python module sdv_wgangp._C. Importing it loads this library, whose static initialisers
// register the kernels with torch's dispatcher; there is nothing to call in it. Its docstring
// names the GPU architectures it was compiled for.
#include <Python.h>

#ifndef SDV_CUDA_ARCHITECTURES
#define SDV_CUDA_ARCHITECTURES ""
#endif

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_C",
    .m_doc = SDV_CUDA_ARCHITECTURES,
};

// PyMODINIT_FUNC also makes the symbol visible, which a plain extern "C" would not be here.
PyMODINIT_FUNC PyInit__C() { return PyModule_Create(&definition); }
