"""Where images live: a registry, an OCI layout on disk, a Docker daemon. Siblings with the same verbs."""
