"""Where to put fuel breaks, how much loss they avoid, and how sure we are."""

from fuelbreak import planners
from fuelbreak.behavior import FireBehavior, fire_behavior
from fuelbreak.env import FireEnv, VectorizedFireEnv, register
from fuelbreak.errors import InputError
from fuelbreak.evaluate import Scores, evaluate
from fuelbreak.landscape import Landscape, Plan
from fuelbreak.scenarios import Fires, Weather, fire_season
from fuelbreak.simulate import Simulate
from fuelbreak.spread import Ensemble, spread

__all__ = [
    "Ensemble",
    "FireBehavior",
    "FireEnv",
    "Fires",
    "InputError",
    "Landscape",
    "Plan",
    "Scores",
    "Simulate",
    "VectorizedFireEnv",
    "Weather",
    "evaluate",
    "fire_behavior",
    "fire_season",
    "planners",
    "spread",
]
__version__ = "0.1.0"

register()
