//! The two buses.

use std::sync::Arc;

use super::{
    handlers::{Handle, Handlers},
    middleware::Middleware,
};
use crate::model::{
    command::{Command, CommandHandler, Query, QueryHandler},
    error::ModelError,
    metadata::Metadata,
};

/// Leads each command to the handler of its type.
///
/// ```
/// use factlog::{block_on, model::{Command, CommandBus, CommandHandler, Logging, Metadata, ModelError, Retry, Validation}};
///
/// struct Greet(&'static str);
///
/// impl Command for Greet {
///     type Output = String;
/// }
///
/// struct Greeter;
///
/// impl CommandHandler<Greet> for Greeter {
///     async fn handle(&self, command: &Greet, _: &Metadata) -> Result<String, ModelError> {
///         Ok(format!("Hello {}", command.0))
///     }
/// }
///
/// let bus = CommandBus::new().with(Logging).with(Validation).with(Retry::default()).register::<Greet, _>(Greeter)?;
/// let greeting: String = block_on(bus.dispatch(Greet("Ann")))?;
/// assert_eq!(greeting, "Hello Ann");
/// # Ok::<(), ModelError>(())
/// ```
#[derive(Debug)]
pub struct CommandBus(Handlers);

impl Default for CommandBus {
    fn default() -> CommandBus {
        CommandBus::new()
    }
}

impl CommandBus {
    /// A bus that knows nobody.
    pub fn new() -> CommandBus {
        CommandBus(Handlers::new("command"))
    }

    /// Has every command go through this, behind what was given before.
    pub fn with(mut self, middleware: impl Middleware) -> CommandBus {
        self.0.with(middleware);
        self
    }

    /// Has commands of type `C` go to this handler.
    ///
    /// # Errors
    ///
    /// [`ModelError::DuplicateHandler`] when there is one for them.
    pub fn register<C: Command, H: CommandHandler<C>>(mut self, handler: H) -> Result<CommandBus, ModelError> {
        let handler = Arc::new(handler);
        let handle: Handle<C, C::Output> = Box::new(move |command, metadata| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler.handle(command, metadata).await })
        });
        self.0.register(handle)?;
        Ok(self)
    }

    /// Has a command done that nothing led to: with new metadata, see [`Metadata::begin`].
    ///
    /// # Errors
    ///
    /// [`ModelError::NoHandler`] when no handler is registered for it, and what its handler and the middleware return.
    pub async fn dispatch<C: Command>(&self, command: C) -> Result<C::Output, ModelError> {
        self.dispatch_with(command, Metadata::begin()).await
    }

    /// Has a command done with this metadata: that of a request, or [`Metadata::caused_by`] an event.
    ///
    /// # Errors
    ///
    /// As for [`CommandBus::dispatch`].
    pub async fn dispatch_with<C: Command>(&self, command: C, metadata: Metadata) -> Result<C::Output, ModelError> {
        self.0.dispatch(&command, &metadata, &|| Ok(command.validate()?)).await
    }
}

/// Leads each query to the handler of its type.
///
/// ```
/// use factlog::{block_on, model::{ModelError, Query, QueryBus, QueryHandler}};
///
/// struct Length(&'static str);
///
/// impl Query for Length {
///     type Output = usize;
/// }
///
/// struct Lengths;
///
/// impl QueryHandler<Length> for Lengths {
///     async fn handle(&self, query: &Length) -> Result<usize, ModelError> {
///         Ok(query.0.len())
///     }
/// }
///
/// let bus = QueryBus::new().register::<Length, _>(Lengths)?;
/// assert_eq!(block_on(bus.ask(Length("four")))?, 4);
/// # Ok::<(), ModelError>(())
/// ```
#[derive(Debug)]
pub struct QueryBus(Handlers);

impl Default for QueryBus {
    fn default() -> QueryBus {
        QueryBus::new()
    }
}

impl QueryBus {
    /// A bus that knows nobody.
    pub fn new() -> QueryBus {
        QueryBus(Handlers::new("query"))
    }

    /// Has every query go through this, behind what was given before.
    pub fn with(mut self, middleware: impl Middleware) -> QueryBus {
        self.0.with(middleware);
        self
    }

    /// Has queries of type `Q` go to this handler.
    ///
    /// # Errors
    ///
    /// [`ModelError::DuplicateHandler`] when there is one for them.
    pub fn register<Q: Query, H: QueryHandler<Q>>(mut self, handler: H) -> Result<QueryBus, ModelError> {
        let handler = Arc::new(handler);
        let handle: Handle<Q, Q::Output> = Box::new(move |query, _| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler.handle(query).await })
        });
        self.0.register(handle)?;
        Ok(self)
    }

    /// Has a query answered.
    ///
    /// # Errors
    ///
    /// [`ModelError::NoHandler`] when no handler is registered for it, and what its handler and the middleware return.
    pub async fn ask<Q: Query>(&self, query: Q) -> Result<Q::Output, ModelError> {
        self.0.dispatch(&query, &Metadata::none(), &|| Ok(query.validate()?)).await
    }
}
