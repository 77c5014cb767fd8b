"""From a commit's flow to Argo: compiled once, isolated and pinned, rendered, and created in the cluster unless it is there."""
