"""Plans from files and flags, and what a plan must hold."""
