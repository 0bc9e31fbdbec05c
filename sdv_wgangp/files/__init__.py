"""Tables in and out of files, with errors that name the file and the remedy."""

from sdv_wgangp.files.paths import check_folder, check_outputs, is_stream
from sdv_wgangp.files.reading import Format, read_table
from sdv_wgangp.files.writing import TableWriter, write_table, write_text

__all__ = [
    "Format",
    "TableWriter",
    "check_folder",
    "check_outputs",
    "is_stream",
    "read_table",
    "write_table",
    "write_text",
]
