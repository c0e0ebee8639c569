"""`faceloom faceset`: one module per subcommand."""
