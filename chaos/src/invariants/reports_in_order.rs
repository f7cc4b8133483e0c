//! `reports_in_order` (design §9, 12): what the fleet says of an agent is never older than what its owner proposed last.
//!
//! Agents number their health reports in the status text, which nobody interprets. The number in an agent's record
//! may skip, because reports coalesce, but it never goes back from one entry to the next, over all owners and failures. What
//! goes back within an entry is seen at the end, when `liveness` compares the record with the agent.

use ampora_raft::records::AgentRecord;
use ampora_raft::rows::Row;

use super::Changed;

fn round(agent: &AgentRecord) -> Option<u64> {
    let status = &agent.health.as_ref()?.status;
    status.strip_prefix("round ")?.parse().ok()
}

pub(super) fn changed(changed: &Changed<'_>) {
    let (Some(Row::Agent(before)), Some(Row::Agent(after))) = (&changed.before, &changed.after)
    else {
        return;
    };
    if let (Some(was), Some(is)) = (round(before), round(after))
        && is < was
    {
        changed.book.violation(
            "reports_in_order",
            format_args!("{} goes back from round {was} to {is}", after.uid),
        );
    }
}
