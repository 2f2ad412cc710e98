//! The tables, as types. A test compares them with what the migrations make, so that neither can
//! move without the other. The statements that read and write them stand in the modules beside.

#![allow(missing_docs, reason = "a column's meaning stands in the migration that makes it")]

/// Schemas; one that is being removed has `removed_at`.
pub mod schemas {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "schemas")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub name: String,
        pub created_at: i64,
        pub removed_at: Option<i64>,
        pub begins_after: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Versions of schemas.
pub mod schema_versions {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "schema_versions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        #[sea_orm(column_type = "Text")]
        pub semver: String,
        pub position: i32,
        #[sea_orm(column_type = "Text")]
        pub source: String,
        pub installed_at: i64,
        #[sea_orm(column_type = "Text")]
        pub installed_by: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Task types, one row for each version that declares one.
pub mod task_types {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "task_types")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub schema_version_id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        #[sea_orm(column_type = "Text")]
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Tasks.
pub mod tasks {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tasks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub created_at: i64,
        pub updated_at: i64,
        pub ttype_id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        #[sea_orm(column_type = "Text")]
        pub ttype: String,
        #[sea_orm(column_type = "Text")]
        pub semver: String,
        #[sea_orm(column_type = "Text")]
        pub state: Option<String>,
        pub resolved: bool,
        #[sea_orm(column_type = "Text")]
        pub phase: String,
        pub user_id: Option<Uuid>,
        #[sea_orm(column_type = "Text")]
        pub meta: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub output: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub external_id: Option<String>,
        pub priority: Option<i32>,
        pub due_at: Option<i64>,
        pub snoozed_until: Option<i64>,
        pub undo_until: Option<i64>,
        #[sea_orm(column_type = "Text")]
        pub callback_url: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub merge_key: Option<String>,
        pub version: i64,
        #[sea_orm(column_type = "Text")]
        pub decided_by: Option<String>,
        pub decided_at: Option<i64>,
        pub expires_at: Option<i64>,
        pub supersedes: Option<Uuid>,
        pub superseded_by: Option<Uuid>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Senders' own names for tasks.
pub mod external_ids {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "external_ids")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub schema_name: String,
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub external_id: String,
        pub task_id: Uuid,
        #[sea_orm(column_type = "Blob")]
        pub content_hash: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The newest task of each merge key.
pub mod merge_keys {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "merge_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub schema_name: String,
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub ttype: String,
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub merge_key: String,
        pub task_id: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Answers kept under idempotency keys.
pub mod idempotency_keys {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_type = "Blob")]
        pub key_hash: Vec<u8>,
        #[sea_orm(column_type = "Blob")]
        pub body_hash: Vec<u8>,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        pub task_id: Uuid,
        pub created: bool,
        #[sea_orm(column_type = "Text")]
        pub answer: String,
        pub expires_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The log.
pub mod events {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "events")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        pub id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub kind: String,
        pub created_at: i64,
        #[sea_orm(column_type = "Text")]
        pub actor: String,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        #[sea_orm(column_type = "Text")]
        pub ttype: Option<String>,
        pub task_id: Option<Uuid>,
        pub version: Option<i64>,
        #[sea_orm(column_type = "Text")]
        pub body: Option<String>,
        #[sea_orm(column_type = "Blob")]
        pub salt: Option<Vec<u8>>,
        #[sea_orm(column_type = "Blob")]
        pub digest: Vec<u8>,
        #[sea_orm(column_type = "Blob")]
        pub head_hash: Option<Vec<u8>>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The log's head: one row.
pub mod log_head {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "log_head")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub seq: i64,
        #[sea_orm(column_type = "Blob")]
        pub hash: Vec<u8>,
        pub floor_seq: i64,
        #[sea_orm(column_type = "Blob")]
        pub floor_hash: Vec<u8>,
        pub registry: i64,
        pub keys: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Checkpoints that were made; the copy that proves something is kept outside.
pub mod checkpoints {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "checkpoints")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        #[sea_orm(column_type = "Blob")]
        pub hash: Vec<u8>,
        pub created_at: i64,
        #[sea_orm(column_type = "Text")]
        pub signature: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Where webhooks go.
pub mod endpoints {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "endpoints")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub origin: String,
        #[sea_orm(column_type = "Text")]
        pub schema_name: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub ttype: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub url: String,
        #[sea_orm(column_type = "Text")]
        pub auth_kind: String,
        #[sea_orm(column_type = "Text")]
        pub auth_header: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub event_types: String,
        #[sea_orm(column_type = "Text")]
        pub body_shape: String,
        #[sea_orm(column_type = "Text")]
        pub status: String,
        #[sea_orm(column_type = "Text")]
        pub status_reason: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub description: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub custom_headers: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub rate_limit: Option<String>,
        pub concurrency: Option<i32>,
        pub timeout_ms: Option<i64>,
        pub failing_since: Option<i64>,
        pub created_at: i64,
        pub updated_at: i64,
        #[sea_orm(column_type = "Text")]
        pub schemas: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub task_types: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub states: Option<String>,
        pub failures: i32,
        pub open_until: Option<i64>,
        pub probes: i32,
        pub rate_due: i64,
        pub declared: bool,
        #[sea_orm(column_type = "Text")]
        pub header_names: Option<String>,
        pub generation: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Endpoints' secrets, encrypted.
pub mod endpoint_secrets {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "endpoint_secrets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub endpoint_id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub auth_kind: String,
        #[sea_orm(column_type = "Text")]
        pub master_key_id: String,
        #[sea_orm(column_type = "Blob")]
        pub ciphertext: Vec<u8>,
        pub created_at: i64,
        pub expires_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Live deliveries.
pub mod deliveries {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deliveries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub endpoint_id: Uuid,
        pub event_id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        pub task_id: Option<Uuid>,
        pub version: Option<i64>,
        pub attempts: i32,
        pub due_at: i64,
        pub lease_token: Option<Uuid>,
        pub created_at: i64,
        pub is_resend: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Jobs that send again.
pub mod replays {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "replays")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub endpoint_id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub schema_name: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub what: String,
        pub since: Option<i64>,
        pub next_seq: i64,
        pub last_seq: i64,
        #[sea_orm(column_type = "Text")]
        pub status: String,
        pub resent: i64,
        pub created_at: i64,
        #[sea_orm(column_type = "Text")]
        pub created_by: String,
        pub finished_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Deliveries that ended, delivered or dead.
pub mod finished_deliveries {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "finished_deliveries")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub endpoint_id: Uuid,
        pub event_id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub schema_name: String,
        pub task_id: Option<Uuid>,
        pub version: Option<i64>,
        pub attempts: i32,
        #[sea_orm(column_type = "Text")]
        pub outcome: String,
        #[sea_orm(column_type = "Text")]
        pub reason: Option<String>,
        pub created_at: i64,
        pub finished_at: i64,
        pub is_resend: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Attempts of deliveries.
pub mod attempts {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "attempts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub delivery_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i32,
        pub endpoint_id: Uuid,
        pub event_id: Uuid,
        pub lease_token: Uuid,
        pub started_at: i64,
        pub duration_us: i64,
        #[sea_orm(column_type = "Text")]
        pub outcome: String,
        pub status: Option<i32>,
        #[sea_orm(column_type = "Text")]
        pub error: Option<String>,
        #[sea_orm(column_type = "Blob")]
        pub response: Option<Vec<u8>>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What is in maintenance.
pub mod maintenance {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "maintenance")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
        pub scope: String,
        #[sea_orm(column_type = "Text")]
        pub message: String,
        pub retry_after_s: i64,
        pub hold_deliveries: bool,
        pub since: i64,
        #[sea_orm(column_type = "Text")]
        pub by: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// API keys, hashed.
pub mod api_keys {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub name: String,
        #[sea_orm(column_type = "Blob")]
        pub hash: Vec<u8>,
        #[sea_orm(column_type = "Text")]
        pub hint: String,
        #[sea_orm(column_type = "Text")]
        pub schemas: Option<String>,
        #[sea_orm(column_type = "Text")]
        pub permissions: String,
        #[sea_orm(column_type = "Text")]
        pub rate: Option<String>,
        pub created_at: i64,
        #[sea_orm(column_type = "Text")]
        pub created_by: String,
        pub expires_at: Option<i64>,
        pub revoked_at: Option<i64>,
        pub last_used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// People.
pub mod users {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[sea_orm(column_type = "Text")]
        pub email: String,
        #[sea_orm(column_type = "Text")]
        pub name: String,
        #[sea_orm(column_type = "Text")]
        pub role: String,
        #[sea_orm(column_type = "Text")]
        pub password_hash: Option<String>,
        pub created_at: i64,
        pub disabled_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
