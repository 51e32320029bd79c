"""Ranked lists of film titles for users whose tastes are known."""

from textgym.tasks.recommendation.task import RecommendationTask

__all__ = ["RecommendationTask"]
