"""What `hiloop-receiver init` writes; `handlers` is also what a receiver runs that was deployed without a project."""
