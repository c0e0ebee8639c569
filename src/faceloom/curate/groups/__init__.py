"""Groups of faces: by person, and near-duplicates."""
