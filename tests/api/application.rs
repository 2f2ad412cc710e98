//! An application server that answers its guard as a test tells it, on a free port of loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use task_inbox_testkit::signature::Secret;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Far longer than anything takes that does come, and shorter than the time-out of a guard that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// This status and this body.
    This(u16, &'static str),
    /// The same, once [`Application::release`] was called.
    Later(u16, &'static str),
    /// Nothing, ever.
    Nothing,
    /// 200 and a body that never ends.
    Endless,
    /// That somebody else should be asked, who would consent.
    Elsewhere,
}

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Question {
    /// A header's text; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Whether it proves to be signed with this secret, by code that is not the service's.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let secret = Secret::parse(secret).expect("a secret");
        secret.verifies(self.header("webhook-signature"), id, at, &self.body)
    }
}

struct Shared {
    says: Mutex<Says>,
    released: watch::Sender<bool>,
    came: mpsc::UnboundedSender<Question>,
    left: mpsc::UnboundedSender<()>,
}

/// A running application server; dropping it stops it.
pub(crate) struct Application {
    address: String,
    shared: Arc<Shared>,
    questions: mpsc::UnboundedReceiver<Question>,
    abandoned: mpsc::UnboundedReceiver<()>,
    _stops: DropGuard,
}

impl Application {
    pub(crate) async fn start(says: Says) -> Self {
        let ((came, questions), (left, abandoned)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let shared =
            Arc::new(Shared { says: Mutex::new(says), released: watch::Sender::new(false), came, left });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let stop = CancellationToken::new();
        tokio::spawn(task_inbox::http::serve(listener, router, stop.clone()));
        Self { address, shared, questions, abandoned, _stops: stop.drop_guard() }
    }

    /// Where a path of it is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Changes what it answers from now on, and holds back again what it holds back.
    pub(crate) fn says(&self, says: Says) {
        self.shared.released.send_replace(false);
        *self.shared.says.lock().expect("unpoisoned") = says;
    }

    /// Lets it give the answers that it holds back.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Waits for the next question.
    pub(crate) async fn question(&mut self) -> Question {
        let next = tokio::time::timeout(PATIENCE, self.questions.recv()).await;
        next.expect("a question comes").expect("the application runs")
    }

    /// Waits until somebody who asked goes away without an answer.
    pub(crate) async fn is_left(&mut self) {
        let next = tokio::time::timeout(PATIENCE, self.abandoned.recv()).await;
        next.expect("somebody goes away").expect("the application runs");
    }

    /// How many questions came that no test has looked at.
    pub(crate) fn unread(&self) -> usize {
        self.questions.len()
    }
}

/// Tells that a question's connection was closed before its answer.
struct Leaving(Option<mpsc::UnboundedSender<()>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(left) = self.0.take() {
            let _ = left.send(());
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let says = shared.says.lock().expect("unpoisoned").clone();
    let mut leaving = Leaving(Some(shared.left.clone()));
    let _ = shared.came.send(Question { path: uri.path().to_owned(), headers, body });
    let status = |code: u16| StatusCode::from_u16(code).expect("a status");
    let response = match says {
        Says::This(code, text) => (status(code), text).into_response(),
        Says::Later(code, text) => {
            let mut released = shared.released.subscribe();
            let _ = released.wait_for(|released| *released).await;
            (status(code), text).into_response()
        }
        Says::Nothing => std::future::pending().await,
        Says::Endless => {
            let chunks = futures_util::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096]))
            });
            Body::from_stream(chunks).into_response()
        }
        Says::Elsewhere if uri.path() == "/elsewhere" => StatusCode::NO_CONTENT.into_response(),
        Says::Elsewhere => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
    };
    leaving.0 = None;
    response
}
