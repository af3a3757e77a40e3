"""The endpoints of `serve-auth`, by what they are about. One class each; `service.py` is what they share."""
