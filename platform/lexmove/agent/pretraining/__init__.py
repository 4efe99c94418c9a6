"""Ahead of any job: a policy is trained on simulated studies, from the floor, with RLlib's PPO."""
