"""Next-token laws: one interface (`law.py`), several sources of probability."""
