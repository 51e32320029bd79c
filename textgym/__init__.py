"""Text generation as a Markov decision process, registered in Gymnasium."""
