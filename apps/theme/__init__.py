"""The look: stylesheet, favicon and wordmark, all drawn by the project."""
