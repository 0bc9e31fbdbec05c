"""The synthesizers, which are classes of SDV's.

SDV is imported before any of them. At the end of its own import it loads its add-ons, which are in
this package: begun from within one of the modules, SDV would ask for what is only half there,
warn, and leave the synthesizer out.
"""

import sdv  # noqa: F401
