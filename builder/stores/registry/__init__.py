"""A registry over HTTP: the push path is the product, so the client is our own."""

from builder.stores.registry.credentials import Credential, Credentials
from builder.stores.registry.retry import Retry
from builder.stores.registry.store import RegistryStore

__all__ = ["Credential", "Credentials", "RegistryStore", "Retry"]
