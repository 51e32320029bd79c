"""A training run's surroundings: configuration, environments, seeds, records, interruption."""
