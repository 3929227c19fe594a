"""The language server process: LSP, documents, people. Never imports torch, never waits for the model."""
