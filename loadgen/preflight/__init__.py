"""What happens before the clock starts: connect to the server or load the model, and check that the plan fits it."""
