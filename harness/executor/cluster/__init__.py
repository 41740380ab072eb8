"""Computes runs on the nodes of a Ray cluster.

executor: shares runs out among actors. remote: the driver's end of an actor; supervisor: the actor,
which has a worker on its node. messages: what the two say to each other. nodes: which of them may
do a run, by their facts. connection: to the cluster. travel: files of users that go with an actor.
"""
