"""The extract stage: from footage to aligned faces."""
