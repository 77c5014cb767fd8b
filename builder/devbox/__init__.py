"""Development machines: the very image of a commit as a pod, with a home that stays, reached by ssh through Kubernetes alone."""
