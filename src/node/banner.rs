//! What a started node says to the person who started it: where agents connect, where people look, and
//! the next command to type.

use super::identity::Running;
use crate::config::{Auth, Config};

/// Prints one screen on standard output.
pub(super) fn print(running: &Running, config: &Config) {
    let path = &config.opamp.path;
    let secure = |is_secure| if is_secure { "s" } else { "" };
    let opamp_s = secure(config.opamp.tls.is_stated());
    let admin_s = secure(config.admin.tls.is_stated());
    let text = format!(
        "ampora {version} · node {node} is ready\n\
         \n\
         agents connect   ws{opamp_s}://{opamp}{path}   or   http{opamp_s}://{opamp}{path}\n\
         people look      http{admin_s}://{admin}/health/ready · /metrics · /api/v1\n\
         data             {data}\n\
         admin token      {token}\n\
         \n\
         next             {next}\n",
        version = running.version,
        node = running.node_id,
        opamp = running.opamp_address,
        admin = running.admin_address,
        data = config.node.data_dir.display(),
        token = super::admin_token::path(&config.node.data_dir).display(),
        next = if config.opamp.auth == Some(Auth::Token) {
            "ampora enrollment create NAME"
        } else {
            "ampora agents list"
        },
    );
    // whoever closed the terminal does not want to read it
    drop(std::io::Write::write_all(
        &mut std::io::stdout().lock(),
        text.as_bytes(),
    ));
}
