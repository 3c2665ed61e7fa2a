"""Parts of the formats that are HDF5 files."""
