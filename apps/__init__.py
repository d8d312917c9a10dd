"""What people see: dashboards reading released files, model cards and the log, nothing else."""
