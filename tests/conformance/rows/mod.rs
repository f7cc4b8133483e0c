//! The rows of the checklist by group, each with its test or the reason why it has none.

mod a_endpoint;
mod b_exchange;
mod b_framing;
mod beyond;
mod c_limits;
mod d_encoding;
mod d_http;
mod e_limits;
mod f_identity;
mod floods;
mod forgotten;
mod g_capabilities;
mod h_replies;
mod i_sequence;
mod i_status;
mod j_status;
mod k_bodies;
mod k_offers;
mod k_rules;
mod l_settings;
mod n_requests;
mod p_liveness;
mod q_packages;
mod r_commands;
mod s_custom;
mod t_components;
mod u_connection;
mod u_duplicates;
mod u_socket;
mod v_authentication;
mod v_enrollment;
mod w_bad_requests;
mod x_overload;
mod x_storm;
mod y_compatibility;
mod z_security;

use crate::row::Row;

pub(crate) use beyond::BEYOND;
pub(crate) use floods::FLOODS;
pub(crate) use forgotten::FORGOTTEN;

/// All of them, in order.
pub(crate) fn all() -> Vec<Row> {
    let groups = [
        a_endpoint::ROWS,
        b_framing::ROWS,
        b_exchange::ROWS,
        c_limits::ROWS,
        d_http::ROWS,
        d_encoding::ROWS,
        e_limits::ROWS,
        f_identity::ROWS,
        g_capabilities::ROWS,
        h_replies::ROWS,
        i_status::ROWS,
        i_sequence::ROWS,
        j_status::ROWS,
        k_rules::ROWS,
        k_offers::ROWS,
        k_bodies::ROWS,
        l_settings::ROWS,
        n_requests::ROWS,
        p_liveness::ROWS,
        q_packages::ROWS,
        r_commands::ROWS,
        s_custom::ROWS,
        t_components::ROWS,
        u_connection::ROWS,
        u_duplicates::ROWS,
        u_socket::ROWS,
        v_authentication::ROWS,
        w_bad_requests::ROWS,
        x_overload::ROWS,
        x_storm::ROWS,
        y_compatibility::ROWS,
        z_security::ROWS,
    ];
    let mut rows: Vec<Row> = groups.into_iter().flatten().map(Row::again).collect();
    rows.sort_by_key(|row| row.id);
    rows
}
