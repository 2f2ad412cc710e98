//! `application/problem+json` (RFC 9457): the one shape of every error.
//!
//! A handler returns a [`Problem`]; it travels in the response's extensions and is written out by
//! [`super::edge`], which knows the path and the request's id. What the operator reads (the cause
//! of a 5xx) stays beside it and never reaches the body.

use std::fmt::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use task_inbox_domain::cursor::LogCursor;
use task_inbox_domain::schema::validate::Problem as Invalid;

use super::answer;
use crate::app::{AppError, CurrentTask};

/// Media type of every error.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What kind of error. `type` is `/problems/{slug}`: stable, and relative to this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    TimedOut,
    Conflict,
    Gone,
    Stale,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    UpgradeRequired,
    Unseen,
    TooManyRequests,
    Internal,
    Unavailable,
    Maintenance,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::TimedOut,
        Self::Conflict,
        Self::Gone,
        Self::Stale,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::UpgradeRequired,
        Self::Unseen,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The kind that has this status: the general one, of the two that have 503.
    pub(super) fn of_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.parts().0.as_u16() == status)
    }

    /// Status, slug and title.
    pub(super) const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request is malformed"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A credential is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This is not permitted"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path doesn't take this method")
            }
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "There is no such representation")
            }
            Self::TimedOut => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request took too long to arrive")
            }
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "The request conflicts with what is"),
            Self::Gone => (StatusCode::GONE, "gone", "This part of the log has been trimmed"),
            Self::Stale => (StatusCode::PRECONDITION_FAILED, "stale", "The task has changed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is of another type")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request is not valid"),
            Self::UpgradeRequired => {
                (StatusCode::UPGRADE_REQUIRED, "upgrade-required", "Another protocol is spoken here")
            }
            Self::Unseen => (
                StatusCode::PRECONDITION_REQUIRED,
                "precondition-required",
                "The version that was seen must be told",
            ),
            Self::TooManyRequests => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests for this key")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The service can't do this now")
            }
            Self::Maintenance => {
                (StatusCode::SERVICE_UNAVAILABLE, "maintenance", "This can only be read during maintenance")
            }
        }
    }
}

/// An error on its way to the client. Boxed: answers are many, errors few.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    detail: String,
    errors: Vec<Invalid>,
    /// Extension members, as JSON text that begins with a comma.
    members: String,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            members: String::new(),
            retry_after: None,
            cause: None,
        }))
    }

    /// 400, with what is malformed.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// 404, with what there is not.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// 422, with everything that is wrong.
    pub(super) fn invalid(detail: impl Into<String>, errors: Vec<Invalid>) -> Self {
        let mut problem = Self::new(Kind::Invalid, detail);
        problem.0.errors = errors;
        problem
    }

    /// 500; the cause goes to the log.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        let detail = "This is a fault of the service. Its log tells more, under this answer's x-request-id.";
        Self::new(Kind::Internal, detail).because(cause)
    }

    /// 503, worth another try after a while.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(Kind::Unavailable, detail);
        problem.0.retry_after = Some(Duration::from_secs(1));
        problem
    }

    /// Adds what the operator should read about it.
    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    fn with_current(mut self, current: &CurrentTask) -> Self {
        match answer::current_members(current) {
            Ok(members) => {
                self.0.members = members;
                self
            }
            Err(problem) => problem,
        }
    }

    /// An example of it, for the description.
    pub(super) fn example(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.0.to_json(path)).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn errors(&self) -> std::slice::Iter<'_, Invalid> {
        self.0.errors.iter()
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn status(&self) -> u16 {
        self.0.kind.parts().0.as_u16()
    }

    /// Whether the operator wants it so: what he need not be told of.
    pub(super) fn is_intended(&self) -> bool {
        self.0.kind == Kind::Maintenance
    }

    /// When it is worth another try.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What the operator should read about it.
    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Writes it as the response's headers and body.
    pub(super) fn write(&self, path: &str, headers: &mut HeaderMap) -> Body {
        let parts = &*self.0;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(after) = parts.retry_after {
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
        }
        match parts.kind {
            Kind::Unauthenticated => {
                let challenge = HeaderValue::from_static("Bearer realm=\"task-inbox\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            // RFC 9110, section 15.5.22.
            Kind::UpgradeRequired => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            }
            // RFC 9110, section 15.5.9: the rest of the request is not waited for.
            Kind::TimedOut => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        Body::from(parts.to_json(path))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Invalid],
}

impl Parts {
    fn to_json(&self, path: &str) -> String {
        let (status, slug, title) = self.kind.parts();
        let document = Document {
            kind: format!("/problems/{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            instance: path,
            errors: &self.errors,
        };
        let mut text = serde_json::to_string(&document).unwrap_or_else(|_| "{}".to_owned());
        if !self.members.is_empty() {
            text.truncate(text.len() - 1);
            text.push_str(&self.members);
            text.push('}');
        }
        text
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.kind.parts().0;
        response.extensions_mut().insert(self);
        response
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Invalid { detail, problems } => Self::invalid(detail, problems),
            AppError::NotFound(detail) => Self::not_found(detail),
            AppError::Conflict { detail, current } => {
                let problem = Self::new(Kind::Conflict, detail);
                match current {
                    Some(current) => problem.with_current(&current),
                    None => problem,
                }
            }
            AppError::RefusedByGuard { ref reason, ref current } => {
                let mut problem = Self::new(Kind::Conflict, error.to_string()).with_current(current);
                let reason = serde_json::json!({ "reason": reason });
                let _ = write!(problem.0.members, ",\"guard\":{reason}");
                problem
            }
            AppError::Stale { detail, current, changes } => {
                let mut problem = Self::new(Kind::Stale, detail).with_current(&current);
                if let Some(Ok(changes)) = changes.map(|changes| serde_json::to_string(&changes)) {
                    let _ = write!(problem.0.members, ",\"changes\":{changes}");
                }
                problem
            }
            AppError::Unseen(detail) => Self::new(Kind::Unseen, detail),
            AppError::Gone { detail, floor } => {
                let mut problem = Self::new(Kind::Gone, detail);
                let cursor = LogCursor(floor).encode();
                let _ = write!(problem.0.members, ",\"floor\":{floor},\"cursor\":\"{cursor}\"");
                problem
            }
            AppError::Unauthenticated(detail) => Self::new(Kind::Unauthenticated, detail),
            AppError::Forbidden(detail) => Self::new(Kind::Forbidden, detail),
            AppError::TooManyRequests { retry_after } => {
                let mut problem = Self::new(Kind::TooManyRequests, "this key's rate is used up for now");
                problem.0.retry_after = Some(retry_after);
                problem
            }
            AppError::Maintenance { message, retry_after } => {
                let mut problem = Self::new(Kind::Maintenance, message);
                problem.0.retry_after = Some(retry_after);
                problem
            }
            AppError::Unavailable { detail } => Self::unavailable(detail),
            AppError::Internal(cause) => Self::internal(cause),
        }
    }
}
