"""`faceloom model`: one module per group of subcommands."""
