"""Tables of localizations and of true emitters: one module for each format, all of them in `FORMATS`."""

from __future__ import annotations

from .formats import FORMATS, TableFormat
from .growing import TableWriter, discard_growing
from .header import TableHeader, refuse_other_settings
from .table_files import (
    claim_list,
    claim_truth,
    open_list_writer,
    open_table_writer,
    open_truth_writer,
    read_header,
    read_list,
    read_table,
    read_truth,
    read_truth_list,
    write_list,
    write_table,
    write_truth,
)

__all__ = [
    "FORMATS",
    "TableFormat",
    "TableHeader",
    "TableWriter",
    "claim_list",
    "claim_truth",
    "discard_growing",
    "open_list_writer",
    "open_table_writer",
    "open_truth_writer",
    "read_header",
    "read_list",
    "read_table",
    "read_truth",
    "read_truth_list",
    "refuse_other_settings",
    "write_list",
    "write_table",
    "write_truth",
]
