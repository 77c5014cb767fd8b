"""What executes a command of the team: this machine, and later Slurm and Kubernetes."""
