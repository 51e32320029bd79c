"""Policy-gradient learners for any Gymnasium environment, language models included."""
