"""What the subcommands do, one file per topic; the command line itself is `pocketcnn.cli`.

Every command is a function of the parsed options. It prints results to standard output and
raises the library's exceptions, which the command line turns into one line.
"""
