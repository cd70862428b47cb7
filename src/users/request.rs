//! What comes from outside: plain types, apart from commands, which may change without them.

use serde::{Deserialize, Serialize};

use crate::model::BusinessTime;

/// Something asked of a user, as a caller sends it.
///
/// ```
/// use factlog::users::UserRequest;
///
/// let request: UserRequest = serde_json::from_str(r#"{"userId": "ann", "action": {"update": {"name": "Ann Lee"}}}"#)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRequest {
    /// The user.
    pub user_id: String,
    /// When it happened; left out for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<BusinessTime>,
    /// What is asked.
    pub action: UserAction,
}

/// What can be asked of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the commands")]
pub enum UserAction {
    /// Create it.
    Create { name: String, email: String },
    /// Change its name, its address, or both.
    Update {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email: Option<String>,
    },
    /// Delete it.
    Delete,
}
