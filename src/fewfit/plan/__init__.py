"""What `fit` would do, told beforehand.

planning.py  lanes, tokens, minutes, memory, disk
remote.py    behind an endpoint: calls and tokens
shape.py     a model's size, from its config alone
speed.py     what this machine does in a second
"""

from fewfit.plan.planning import LanePlan, Length, Plan, plan
from fewfit.plan.remote import EndpointPlan, LaneCalls
from fewfit.plan.shape import ModelShape
from fewfit.plan.speed import Speed

__all__ = ["EndpointPlan", "LaneCalls", "LanePlan", "Length", "ModelShape", "Plan", "Speed", "plan"]
