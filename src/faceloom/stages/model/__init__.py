"""Operations on models: states, import, export, summary."""
