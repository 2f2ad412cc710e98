//! A receiver whose answers a test chooses, on a free port of loopback.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What the receiver answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This status.
    Status(u16),
    /// This status, with `Retry-After`.
    RetryAfter(u16, &'static str),
    /// Nothing, ever.
    Hang,
    /// 200 and a body that never ends.
    Endless,
    /// A redirect to here.
    Redirect(String),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("visible ASCII"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

struct Shared {
    received: mpsc::UnboundedSender<Received>,
    /// Answers still to give; the last one is given for ever.
    answers: Mutex<VecDeque<Answer>>,
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    requests: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    /// Starts one that gives these answers in turn, and the last one for ever.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let (received, requests) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { received, answers: Mutex::new(answers.into_iter().collect()) });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self { url, shared, requests }
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.requests.recv());
        next.await.expect("a webhook comes").expect("the receiver runs")
    }

    /// A request that has come already.
    pub(crate) fn try_next(&mut self) -> Option<Received> {
        self.requests.try_recv().ok()
    }

    /// Changes what it answers from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answers.lock().expect("unpoisoned") = VecDeque::from([answer]);
    }
}

/// Serves with hyper, as the service does; axum's own server is a feature that it leaves out.
async fn axum_serve(listener: TcpListener, router: Router) {
    task_inbox::http::serve(listener, router, tokio_util::sync::CancellationToken::new())
        .await
        .expect("serves");
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut answers = shared.answers.lock().expect("unpoisoned");
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    };
    let _ = shared.received.send(Received { headers, body });
    let status = |code: u16| StatusCode::from_u16(code).expect("a status");
    match answer.expect("there is one") {
        Answer::Status(code) => status(code).into_response(),
        Answer::RetryAfter(code, value) => (status(code), [("retry-after", value)]).into_response(),
        Answer::Hang => std::future::pending().await,
        Answer::Endless => {
            let chunks = futures_util::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096]))
            });
            Body::from_stream(chunks).into_response()
        }
        Answer::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
    }
}
