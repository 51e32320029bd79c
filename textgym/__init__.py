"""Text generation as a Markov decision process, registered in Gymnasium.

Importing this package registers its environments::

    import gymnasium as gym
    env = gym.make("textgym:textgym/Translation-v0", reward="bleu", shaping="dense")
"""

from textgym.registration import register_all

__version__ = "0.1.0"
__all__ = ["__version__"]

register_all()
