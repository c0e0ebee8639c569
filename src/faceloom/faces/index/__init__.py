"""The index of a faceset: a cache of records and measures."""
