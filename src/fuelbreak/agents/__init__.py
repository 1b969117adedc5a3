"""The learner: network, replay memory and deep Q-learning on arrays and masks; it has never heard of fire."""
