"""The data root: everything that runs leave behind. `interface.Objects` is the port; a directory and S3 are siblings."""
