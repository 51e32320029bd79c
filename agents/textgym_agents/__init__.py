"""Policy-gradient learners for any Gymnasium environment, language models included.

`train.train` is the main path: collect -> update -> log -> save. A run is a
`textgym_agents.train.TrainConfig`, an algorithm its configuration (`algorithms.ReinforceConfig`,
`algorithms.MaximumLikelihoodConfig`); `evaluate.evaluate` measures a policy, and
`checkpoint.load_checkpoint_policy` brings one back.
"""
