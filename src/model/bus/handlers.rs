//! The handlers of a bus, by the types that they are for.

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt,
};

use parking_lot::Mutex;

use super::middleware::{Call, Middleware, Next};
use crate::{
    event_store::BoxFuture,
    model::{error::ModelError, metadata::Metadata},
};

/// What handles a message of type `M`.
pub(super) type Handle<M, O> =
    Box<dyn for<'a> Fn(&'a M, &'a Metadata) -> BoxFuture<'a, Result<O, ModelError>> + Send + Sync>;

/// The handlers and the middleware of a bus.
pub(super) struct Handlers {
    /// `command` or `query`.
    kind: &'static str,
    /// By the type of the message. Each is a [`Handle`] for that type.
    handlers: HashMap<TypeId, (&'static str, Box<dyn Any + Send + Sync>)>,
    middleware: Vec<Box<dyn Middleware>>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.handlers.values().map(|(name, _)| name).collect();
        names.sort_unstable();
        f.debug_struct(self.kind).field("handlers", &names).field("middleware", &self.middleware.len()).finish()
    }
}

impl Handlers {
    pub(super) fn new(kind: &'static str) -> Handlers {
        Handlers { kind, handlers: HashMap::new(), middleware: Vec::new() }
    }

    pub(super) fn with(&mut self, middleware: impl Middleware) {
        self.middleware.push(Box::new(middleware));
    }

    pub(super) fn register<M: 'static, O: 'static>(&mut self, handle: Handle<M, O>) -> Result<(), ModelError> {
        let name = type_name::<M>();
        if self.handlers.contains_key(&TypeId::of::<M>()) {
            return Err(ModelError::DuplicateHandler { kind: self.kind, name });
        }
        self.handlers.insert(TypeId::of::<M>(), (name, Box::new(handle)));
        Ok(())
    }

    /// Sends a message through the middleware to its handler.
    pub(super) async fn dispatch<M: Send + Sync + 'static, O: Send + 'static>(
        &self,
        message: &M,
        metadata: &Metadata,
        validate: &(dyn Fn() -> Result<(), ModelError> + Send + Sync),
    ) -> Result<O, ModelError> {
        let (kind, name) = (self.kind, type_name::<M>());
        let no_handler = || ModelError::NoHandler { kind, name };
        let (_, handle) = self.handlers.get(&TypeId::of::<M>()).ok_or_else(no_handler)?;
        let handle = handle.downcast_ref::<Handle<M, O>>().ok_or_else(no_handler)?;
        if self.middleware.is_empty() {
            return handle(message, metadata).await;
        }

        // Middleware is the same for all messages, and so does not know the answer's type: the answer is left here.
        let answer = Mutex::new(None);
        let run = || -> BoxFuture<'_, Result<(), ModelError>> {
            let handling = handle(message, metadata);
            Box::pin(async {
                let answered = handling.await?;
                *answer.lock() = Some(answered);
                Ok(())
            })
        };
        let call = Call { kind, name, metadata, validate };
        Next::new(&self.middleware, &call, &run).run().await?;
        // Middleware that answers well without having asked the handler has nothing to answer with.
        answer.into_inner().ok_or_else(no_handler)
    }
}
