"""The treegraft daemon: the language server process, the engine process and the command line."""
