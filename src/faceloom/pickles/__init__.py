"""Restricted reader and writer for foreign pickles."""
