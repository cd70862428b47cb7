//! What can happen to a user.

use serde::{Deserialize, Serialize};

use crate::model::{BusinessTime, DomainEvent};

/// What can happen to a user. In the store each has the type and the JSON field names that a program in TypeScript would
/// give it: `UserCreatedEvent`, `userId`. Its `timestamp` is the time that the command named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields say what the event says")]
pub enum UserEvent {
    /// The user came into being.
    #[serde(rename = "UserCreatedEvent")]
    Created { user_id: String, name: String, email: String, timestamp: BusinessTime },
    /// The user has this name and address from now on.
    #[serde(rename = "UserUpdatedEvent")]
    Updated { user_id: String, name: String, email: String, timestamp: BusinessTime },
    /// The user is gone.
    #[serde(rename = "UserDeletedEvent")]
    Deleted { user_id: String, timestamp: BusinessTime },
}

impl DomainEvent for UserEvent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_written_under_the_name_that_is_read_back() {
        let timestamp: BusinessTime = "2018-08-15T10:10:18Z".parse().unwrap();
        let (user_id, name, email) = ("1".to_owned(), "Ann".to_owned(), "ann@example.com".to_owned());
        let (user_id_2, name_2, email_2) = (user_id.clone(), name.clone(), email.clone());
        let person = r#""userId":"1","name":"Ann","email":"ann@example.com","timestamp":"2018-08-15T10:10:18Z""#;
        for (event, event_type, json) in [
            (UserEvent::Created { user_id, name, email, timestamp }, "UserCreatedEvent", format!("{{{person}}}")),
            (
                UserEvent::Updated { user_id: user_id_2, name: name_2, email: email_2, timestamp },
                "UserUpdatedEvent",
                format!("{{{person}}}"),
            ),
            (
                UserEvent::Deleted { user_id: "1".into(), timestamp },
                "UserDeletedEvent",
                r#"{"userId":"1","timestamp":"2018-08-15T10:10:18Z"}"#.to_owned(),
            ),
        ] {
            let stored = event.to_new_event().unwrap();
            assert_eq!(stored.event_type, event_type);
            assert_eq!(stored.payload, json);
            let tagged = format!(r#"{{"{event_type}":{json}}}"#);
            assert_eq!(serde_json::from_str::<UserEvent>(&tagged).unwrap(), event);
        }
        assert_eq!(UserEvent::types(), ["UserCreatedEvent", "UserUpdatedEvent", "UserDeletedEvent"]);
    }
}
