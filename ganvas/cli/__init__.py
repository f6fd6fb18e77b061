"""The command line: one file a command. A command imports its room only when it is called, so --help stays quick."""
