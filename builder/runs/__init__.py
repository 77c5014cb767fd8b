"""Runs of flows: what is asked for, made ready, and executed on this machine. Later targets are siblings of `local`."""
