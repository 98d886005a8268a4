"""Carries calls to a model in a process of its own on this machine, and stamps where tokens are born."""
