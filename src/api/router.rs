//! All routes in one table, each with what it needs, and the layers around them.

use ampora_raft::records::Role;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use http::Method;

use super::auth::{self, Access, Caller};
use super::problem::{Code, Problem};
use super::{
    Api, agents, answer, audit, cluster, configurations, dispatches, enrollment_tokens, freshness,
    groups, openapi, probes, tokens,
};

use Access::{Needs, Open};

/// One method of one path.
pub(crate) struct Route {
    /// The method; the handler knows it too.
    pub(crate) method: Method,
    /// The path with its parameters.
    pub(crate) path: &'static str,
    /// What a caller needs.
    pub(crate) access: Access,
    handler: MethodRouter<Api>,
}

impl Route {
    fn new(
        method: Method,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Api>,
    ) -> Route {
        Route {
            method,
            path,
            access,
            handler,
        }
    }
}

const VIEWER: Access = Needs(Role::Viewer);
const OPERATOR: Access = Needs(Role::Operator);
const ADMIN: Access = Needs(Role::Admin);

/// Everything that REST answers; what is not here is 404.
pub(crate) fn routes() -> Vec<Route> {
    let read = |path, handler| Route::new(Method::GET, path, VIEWER, handler);
    let mut routes = vec![
        read("/api/v1/agents", get(agents::list)),
        read("/api/v1/agents/{uid}", get(agents::show)),
        read("/api/v1/agents/{uid}/components", get(agents::components)),
        read(
            "/api/v1/agents/{uid}/effective-config",
            get(agents::effective_config),
        ),
        read("/api/v1/agents/{uid}/health", get(agents::health)),
        read("/api/v1/cluster", get(cluster::show)),
        read("/api/v1/configurations", get(configurations::list)),
        read("/api/v1/configurations/{name}", get(configurations::show)),
        read(
            "/api/v1/configurations/{name}/versions/{version}",
            get(configurations::version),
        ),
        read("/api/v1/dispatches", get(dispatches::list)),
        read("/api/v1/dispatches/{id}", get(dispatches::show)),
        read("/api/v1/groups", get(groups::list)),
        read("/api/v1/groups/{name}", get(groups::show)),
    ];
    let write = |method, path, handler| Route::new(method, path, OPERATOR, handler);
    routes.extend([
        write(
            Method::PUT,
            "/api/v1/configurations/{name}",
            put(configurations::create),
        ),
        write(
            Method::POST,
            "/api/v1/configurations/{name}/versions",
            post(configurations::create),
        ),
        write(Method::POST, "/api/v1/dispatches", post(dispatches::create)),
        write(
            Method::DELETE,
            "/api/v1/dispatches/{id}",
            delete(dispatches::cancel),
        ),
        write(Method::PUT, "/api/v1/groups/{name}", put(groups::put)),
        write(
            Method::DELETE,
            "/api/v1/groups/{name}",
            delete(groups::delete),
        ),
        write(
            Method::POST,
            "/api/v1/groups/{name}/quarantine/lift",
            post(groups::lift),
        ),
        write(
            Method::POST,
            "/api/v1/groups/{name}/revert",
            post(groups::revert),
        ),
    ]);
    let guarded = |path, handler| Route::new(Method::GET, path, ADMIN, handler);
    routes.extend([
        guarded("/api/v1/audit", get(audit::list)),
        guarded("/api/v1/audit/verify", get(audit::verify)),
    ]);
    routes.extend(management_routes());
    routes.extend(snapshot_routes());
    routes.extend(cluster_routes());
    routes.push(read("/api/v1/groups/{name}/preview", get(groups::preview)));
    routes.extend(access_routes());
    routes.extend(probe_routes());
    routes.extend(about_routes());
    routes
}

/// What operators do to agents, and what they compare.
fn management_routes() -> Vec<Route> {
    let read = |path, handler| Route::new(Method::GET, path, VIEWER, handler);
    let write = |method, path, handler| Route::new(method, path, OPERATOR, handler);
    vec![
        read("/api/v1/agents/{uid}/history", get(agents::history)),
        write(
            Method::DELETE,
            "/api/v1/agents/{uid}",
            delete(agents::forget),
        ),
        write(
            Method::PUT,
            "/api/v1/agents/{uid}/labels",
            put(agents::put_labels),
        ),
        write(
            Method::DELETE,
            "/api/v1/agents/{uid}/labels",
            delete(agents::delete_labels),
        ),
        read(
            "/api/v1/configurations/{name}/diff",
            get(configurations::diff),
        ),
    ]
}

/// Copies of everything.
fn snapshot_routes() -> Vec<Route> {
    let guarded = |method, path, handler| Route::new(method, path, ADMIN, handler);
    vec![
        guarded(
            Method::POST,
            "/api/v1/cluster/snapshots",
            post(cluster::snapshots::take),
        ),
        guarded(
            Method::GET,
            "/api/v1/cluster/snapshots/{id}",
            get(cluster::snapshots::read),
        ),
    ]
}

/// Who belongs to the cluster, who votes, and who owns what.
fn cluster_routes() -> Vec<Route> {
    let read = |path, handler| Route::new(Method::GET, path, VIEWER, handler);
    let guarded = |method, path, handler| Route::new(method, path, ADMIN, handler);
    vec![
        read("/api/v1/cluster/leases", get(cluster::leases::list)),
        read("/api/v1/cluster/sessions", get(cluster::sessions::list)),
        guarded(
            Method::POST,
            "/api/v1/cluster/join-tokens",
            post(cluster::join::create_token),
        ),
        guarded(
            Method::POST,
            "/api/v1/cluster/join",
            post(cluster::join::join),
        ),
        guarded(
            Method::POST,
            "/api/v1/cluster/members",
            post(cluster::members::set_role),
        ),
        guarded(
            Method::DELETE,
            "/api/v1/cluster/members/{id}",
            delete(cluster::members::remove),
        ),
        guarded(
            Method::POST,
            "/api/v1/cluster/leader",
            post(cluster::leader::lead),
        ),
        guarded(
            Method::POST,
            "/api/v1/cluster/feature-level",
            post(cluster::leader::finalize),
        ),
    ]
}

/// Who may do what: for administrators alone.
fn access_routes() -> Vec<Route> {
    let of = |method, path, handler| Route::new(method, path, ADMIN, handler);
    vec![
        of(Method::GET, "/api/v1/tokens", get(tokens::list)),
        of(Method::POST, "/api/v1/tokens", post(tokens::create)),
        of(
            Method::DELETE,
            "/api/v1/tokens/{id}",
            delete(tokens::delete),
        ),
        of(
            Method::GET,
            "/api/v1/enrollment-tokens",
            get(enrollment_tokens::list),
        ),
        of(
            Method::POST,
            "/api/v1/enrollment-tokens",
            post(enrollment_tokens::create),
        ),
        of(
            Method::DELETE,
            "/api/v1/enrollment-tokens/{id}",
            delete(enrollment_tokens::delete),
        ),
    ]
}

/// Probes and metrics: what `metrics.listen` moves to a listener of its own.
fn probe_routes() -> Vec<Route> {
    let open = |path, handler| Route::new(Method::GET, path, Open, handler);
    vec![
        open("/health/live", get(probes::live)),
        open("/health/ready", get(probes::ready)),
        open("/health/startup", get(probes::startup)),
        open("/metrics", get(probes::metrics)),
    ]
}

/// What REST says of itself.
fn about_routes() -> Vec<Route> {
    let open = |path, handler| Route::new(Method::GET, path, Open, handler);
    vec![
        open("/api/v1/openapi.json", get(openapi::json)),
        open("/api/docs", get(openapi::page)),
    ]
}

/// The router of the admin listener.
pub fn admin(api: Api) -> Router {
    assemble(api, routes())
}

/// The router of a listener for probes and metrics alone.
pub fn probes_only(api: Api) -> Router {
    assemble(api, probe_routes())
}

fn assemble(api: Api, routes: Vec<Route>) -> Router {
    let mut router = Router::new();
    for route in routes {
        let guard = middleware::from_fn_with_state((api.clone(), route.access), guard);
        router = router.route(route.path, route.handler.route_layer(guard));
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), answer::answer))
        .with_state(api)
}

/// Lets a request through to its handler when the caller may use the route.
async fn guard(
    State((api, access)): State<(Api, Access)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Needs(role) = access else {
        return next.run(request).await;
    };
    let caller = match auth::identify(&api, &request) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match auth::authorise(&caller, role) {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            freshness::read(&api, request, next).await
        }
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert::<Caller>(caller);
    response
}

/// Paths that are not there say so only to those who may know.
async fn nothing_here(State(api): State<Api>, request: Request) -> Problem {
    match auth::identify(&api, &request) {
        Err(problem) => problem,
        Ok(_) => Problem::new(
            Code::NotFound,
            format_args!("nothing is at {}", request.uri().path()),
        ),
    }
}

async fn wrong_method(State(api): State<Api>, request: Request) -> Problem {
    let path = answer::matched(&request).unwrap_or_else(|| request.uri().path());
    let mut open = probe_routes().into_iter().chain(about_routes());
    if open.any(|route| route.path == path) {
        return not_allowed(&request);
    }
    match auth::identify(&api, &request) {
        Err(problem) => problem,
        Ok(_) => not_allowed(&request),
    }
}

fn not_allowed(request: &Request) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format_args!(
            "{} is not allowed at {}",
            request.method(),
            request.uri().path()
        ),
    )
}

#[cfg(test)]
mod tests;
