"""The commands of `hiloop-receiver`, a module for each group; `workers.cli` imports one when it is used."""
