"""The processes that write into one suite's folder at once, on one machine or several.

`heartbeat`: who is alive. `claims`: who does what. `quiet`: those that time wait for those that
train on the same machine. How a sweep uses them: `sweep.sharing`."""
