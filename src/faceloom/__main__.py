"""`python -m faceloom`: the command line without the installed script."""

from faceloom.cli.main import main

if __name__ == "__main__":
    main()
