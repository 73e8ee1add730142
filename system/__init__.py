"""The base of all other code: files written whole, locks, Keras imported quietly."""
