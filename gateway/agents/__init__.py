"""The bridge to an agent network: the messages of the four roles, to and from agents on the Pilot network.

A process of its own, never on the path of a request. The software of the network is not a part of it: a daemon that the
operator installed is asked over its socket, and by `pilotctl`.
"""
