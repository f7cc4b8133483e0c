-- What is older than its days.
CREATE INDEX dispatch_envelopes_finished ON dispatch_envelopes (finished_at);
