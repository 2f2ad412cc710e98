//! The inbox for software agents: the Model Context Protocol, over the use cases. The only importer of rmcp.
//!
//! `http` mounts [`Endpoint`] and vouches for who calls. There are no sessions: a request holds all that is needed to
//! answer it, and what an agent waits for is in the database. So any replica answers, and whoever comes back after a
//! restart, of the agent or of the server, goes on with the id of the task.
//!
//! What a person decides (to approve, to edit, to reject) is an outcome of a tool. An error is what the agent itself
//! can put right, and says how.

mod answers;
mod arguments;
mod calls;
mod tools;
mod waits;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};

use crate::app::{App, Principal};

/// How often a stream without anything to tell shows that it is still there: more often than proxies drop who is
/// silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What an agent is told about the whole before it sees the tools.
const INSTRUCTIONS: &str = "An inbox in which people take decisions that software can't take. Look at \
    list_task_types for what can be asked, ask with request_decision, and get the answer with wait_for_decision. \
    People may take minutes or days; nothing is lost meanwhile: keep the task_id, and call wait_for_decision again \
    whenever status is pending, also after a restart. Give request_decision an external_id that you can find again \
    (such as the id of your run and step), and asking twice makes one task. What comes back is an outcome, whatever \
    was decided: act on state, output and reason.";

/// Who calls, and with what: what `http` found out before the protocol is spoken.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub who: Principal,
    /// `Idempotency-Key`, if one came: a request that is sent again with it does nothing twice.
    pub idempotency_key: Option<String>,
}

/// What travels with a request to the tools.
#[derive(Clone)]
struct Travelling {
    caller: Arc<Caller>,
    /// The body as it was sent: its numbers have all their digits.
    body: Bytes,
}

/// The place where agents call.
#[derive(Clone)]
pub struct Endpoint(StreamableHttpService<Inbox, NeverSessionManager>);

impl Endpoint {
    /// One over these use cases.
    pub fn new(app: App) -> Self {
        // Pages of this machine alone; browsers name the origin of every POST, also of a page whose host was rebound to
        // this address, so there is no need to know which hosts the server goes by.
        let origins = ["localhost", "127.0.0.1", "[::1]"];
        let origins = ["http", "https"].into_iter().flat_map(|s| origins.map(|o| format!("{s}://{o}:*")));
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_sse_keep_alive(Some(KEEP_ALIVE))
            .with_sse_retry(None)
            .disable_allowed_hosts()
            .with_allowed_origins(origins)
            .enforce_origin_validation();
        let inbox = Inbox { app };
        Self(StreamableHttpService::new(move || Ok(inbox.clone()), Arc::default(), config))
    }

    /// Answers one request: with a stream that ends with the answer, or with an HTTP error, whose body is JSON-RPC or
    /// plain text.
    pub async fn answer(
        &self,
        caller: Caller,
        mut request: Request<Bytes>,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        let body = request.body().clone();
        request.extensions_mut().insert(Travelling { caller: Arc::new(caller), body });
        self.0.handle(request.map(Full::new)).await
    }
}

/// The server, as the SDK sees it. One for each request.
#[derive(Clone)]
struct Inbox {
    app: App,
}

impl ServerHandler for Inbox {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("task-inbox", env!("CARGO_PKG_VERSION")).with_title("Task inbox"),
            )
            .with_instructions(INSTRUCTIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::find(name).map(|declared| declared.tool.clone())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all().map(|declared| declared.tool.clone()).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(declared) = tools::find(&request.name) else {
            let names: Vec<_> = tools::all().map(|declared| declared.tool.name.as_ref()).collect();
            let said = format!("there is no tool {}; there is {}", request.name, names.join(", "));
            return Err(ErrorData::invalid_params(said, None));
        };
        let parts = context.extensions.get::<http::request::Parts>();
        let travelling = parts.and_then(|parts| parts.extensions.get::<Travelling>()).cloned();
        let travelling =
            travelling.ok_or_else(|| ErrorData::internal_error("nobody says who calls", None))?;
        let call = calls::Call { app: &self.app, caller: &travelling.caller, context: &context };
        let result = match arguments::read(&travelling.body, &declared.input) {
            Ok(arguments) => call.answer(declared.kind, &arguments).await,
            Err(error) => Err(error),
        };
        Ok(result.unwrap_or_else(|error| answers::refused(&error)).into())
    }
}
