"""The treegraft daemon: the language server process, the engine process and the command line."""

__version__ = "0.1.0"  # the one place: the package, the wire and --version read it here
