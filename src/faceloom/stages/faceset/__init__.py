"""Operations on whole facesets."""
