-- Pages of some kinds, and the newest of each kind at a past time, without passing by what is asked for seldom.
CREATE INDEX agent_status_history_kind ON agent_status_history (instance_uid, kind, at);
