"""How the embedded model was made, reproducible from permissively licensed source."""
