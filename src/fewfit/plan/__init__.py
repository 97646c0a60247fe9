"""What `fit` would do, told beforehand.

planning.py  lanes, tokens, minutes, memory, disk
shape.py     a model's size, from its config alone
speed.py     what this machine does in a second
"""

from fewfit.plan.planning import LanePlan, Length, Plan, plan
from fewfit.plan.shape import ModelShape
from fewfit.plan.speed import Speed

__all__ = ["LanePlan", "Length", "ModelShape", "Plan", "Speed", "plan"]
