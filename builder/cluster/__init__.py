"""The port to a Kubernetes cluster, and its adapter: deploying, running, doctor and launchers ask for objects here."""
