"""The wire between serve and engine: messages and framing. PROTOCOL.md tells it in words."""
