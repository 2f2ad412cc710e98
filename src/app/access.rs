//! Who calls, and what they may do.

use std::fmt;

use task_inbox_domain::actor::ActorKind;
use task_inbox_domain::{Actor, Timestamp};
use uuid::Uuid;

use super::AppError;
use super::rate::Rate;

/// One thing that a key can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Post tasks.
    TasksWrite,
    /// Read tasks, their history and the events.
    TasksRead,
    /// Decide tasks.
    TasksResolve,
    /// Install and remove schemas.
    SchemasWrite,
    /// List schemas.
    SchemasRead,
    /// Make, list and revoke API keys and webhook keys.
    KeysWrite,
    /// Read endpoints, deliveries and attempts.
    EndpointsRead,
    /// Register, change, pause, resume and test endpoints; send again. What is registered hears of every task of the
    /// schemas that the key sees, with what it says, and goes on when the key has ended.
    EndpointsWrite,
    /// Read the log's head and checkpoints, and verify the log.
    AuditRead,
    /// Make checkpoints.
    AuditWrite,
    /// Begin and end maintenance.
    MaintenanceWrite,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 11] = [
        Self::TasksWrite,
        Self::TasksRead,
        Self::TasksResolve,
        Self::SchemasWrite,
        Self::SchemasRead,
        Self::KeysWrite,
        Self::EndpointsRead,
        Self::EndpointsWrite,
        Self::AuditRead,
        Self::AuditWrite,
        Self::MaintenanceWrite,
    ];

    /// What a key gets that was made without saying which.
    pub const DEFAULT: [Self; 2] = [Self::TasksWrite, Self::TasksRead];

    /// The wire name, e.g. `tasks:write`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TasksWrite => "tasks:write",
            Self::TasksRead => "tasks:read",
            Self::TasksResolve => "tasks:resolve",
            Self::SchemasWrite => "schemas:write",
            Self::SchemasRead => "schemas:read",
            Self::KeysWrite => "keys:write",
            Self::EndpointsRead => "endpoints:read",
            Self::EndpointsWrite => "endpoints:write",
            Self::AuditRead => "audit:read",
            Self::AuditWrite => "audit:write",
            Self::MaintenanceWrite => "maintenance:write",
        }
    }

    /// Reads the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The caller of a use case.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Who acts, as the log will name it.
    pub actor: Actor,
    /// The schemas whose things the caller sees; `None`: all.
    pub schemas: Option<Vec<String>>,
    /// What the caller may do.
    pub permissions: Vec<Permission>,
    /// The API key, if it is one.
    pub key_id: Option<Uuid>,
    /// When it ends, if it does: no key that it makes may outlive it. An endpoint that it registers does, until
    /// somebody removes it.
    pub expires: Option<Timestamp>,
    /// How many requests it may make; `None`: any number.
    pub rate: Option<Rate>,
}

impl Principal {
    /// The operator at the command line, who has the database anyway: may do everything.
    pub fn cli() -> Self {
        Self {
            actor: Actor::cli(),
            schemas: None,
            permissions: Permission::ALL.to_vec(),
            key_id: None,
            expires: None,
            rate: None,
        }
    }

    /// Whether it is the operator at the command line, rather than a key's request.
    pub fn is_operator(&self) -> bool {
        self.actor.kind == ActorKind::Cli
    }

    /// Refuses what the caller may not do.
    pub fn may(&self, permission: Permission) -> Result<(), AppError> {
        if self.permissions.contains(&permission) {
            return Ok(());
        }
        Err(AppError::Forbidden(format!(
            "this needs the permission {permission}, which the key {} has not",
            self.actor.name.as_deref().unwrap_or("in use")
        )))
    }

    /// Refuses what the caller may not do, or not for every schema: what concerns all of them.
    pub fn may_everywhere(&self, permission: Permission) -> Result<(), AppError> {
        self.may(permission)?;
        if self.sees_all() {
            return Ok(());
        }
        Err(AppError::Forbidden(format!(
            "this concerns every schema, and the key {} is for {} alone",
            self.actor.name.as_deref().unwrap_or("in use"),
            self.schemas.as_deref().unwrap_or_default().join(", ")
        )))
    }

    /// Whether everything that these schemas (`None`: all) show is shown to the caller too.
    pub fn sees_whatever(&self, schemas: Option<&[String]>) -> bool {
        match schemas {
            Some(schemas) => schemas.iter().all(|schema| self.sees(schema)),
            None => self.sees_all(),
        }
    }

    /// Whether the caller sees things of this schema.
    pub fn sees(&self, schema: &str) -> bool {
        self.schemas.as_ref().is_none_or(|schemas| schemas.iter().any(|s| s == schema))
    }

    /// Whether the caller sees every schema.
    pub fn sees_all(&self) -> bool {
        self.schemas.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_come_back_from_their_names() {
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
        assert_eq!(Permission::parse("tasks"), None);
    }

    #[test]
    fn a_key_does_what_it_was_given_and_sees_what_it_was_given() {
        let who = Principal {
            actor: Actor::key(Uuid::nil(), "ci"),
            schemas: Some(vec!["a".to_owned()]),
            permissions: vec![Permission::TasksWrite],
            key_id: Some(Uuid::nil()),
            expires: None,
            rate: None,
        };
        assert!(who.may(Permission::TasksWrite).is_ok());
        let refused = who.may(Permission::TasksResolve).expect_err("not given").to_string();
        assert!(refused.contains("tasks:resolve") && refused.contains("ci"), "{refused}");
        assert!(who.sees("a") && !who.sees("b"));
        assert!(Principal::cli().sees("b"));
        assert!(who.sees_whatever(Some(&["a".to_owned()])) && !who.sees_whatever(None));
        assert!(!who.sees_whatever(Some(&["a".to_owned(), "b".to_owned()])));
        assert!(Principal::cli().sees_whatever(None));
        let narrow = who.may_everywhere(Permission::TasksWrite).expect_err("one schema").to_string();
        assert!(narrow.contains("every schema"), "{narrow}");
        assert!(Principal::cli().may_everywhere(Permission::AuditWrite).is_ok());
    }
}
