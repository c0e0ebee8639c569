"""What a model trains on: sides and batches."""
