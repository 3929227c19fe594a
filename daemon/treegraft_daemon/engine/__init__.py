"""The model process: prompts, grammar and tokens. Never imports LSP."""
