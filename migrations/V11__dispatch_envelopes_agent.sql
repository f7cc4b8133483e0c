-- What was asked of one agent, newest first.
CREATE INDEX dispatch_envelopes_agent ON dispatch_envelopes (instance_uid, finished_at);
