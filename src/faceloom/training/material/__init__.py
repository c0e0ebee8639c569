"""What a model trains on: batches by number, and the faces of previews."""
