//! `factlog users`: the smaller sample domain from the command line.

use std::sync::Arc;

use clap::{Args, Subcommand};
use factlog::{
    MemoryStore, block_on,
    model::{Aggregate, Consistency, ModelError, QueryBus},
    users::{GetUser, GetUsers, User, UserAction, UserQueryHandler, UserRequest, UserService},
};

use super::{
    domain::{Paging, Time, history},
    failure::Failure,
    open,
    output::Output,
    place::Place,
    views::{self, Freshness, Sample, ViewsPlace},
};

/// Create, update and delete users, and ask for them: the smaller sample domain on the store
#[derive(Debug, Args)]
pub struct Users {
    #[command(flatten)]
    views: ViewsPlace,

    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// Create a user
    Create {
        id: String,
        /// What the user is called
        #[arg(long)]
        name: String,
        /// The e-mail address
        #[arg(long)]
        email: String,
        #[command(flatten)]
        time: Time,
    },
    /// Give a user another name, another address, or both
    Update {
        id: String,
        /// The new name
        #[arg(long, required_unless_present = "email")]
        name: Option<String>,
        /// The new e-mail address
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        time: Time,
    },
    /// Delete a user, for ever
    Delete {
        id: String,
        #[command(flatten)]
        time: Time,
    },
    /// Print a user as the read model has it
    Show {
        id: String,
        #[command(flatten)]
        freshness: Freshness,
    },
    /// Print the events of a user
    History { id: String },
    /// Print a page of the users, newest first
    List {
        /// Only those with this text in their name
        #[arg(long)]
        name: Option<String>,
        /// Only those with this text in their e-mail address
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        freshness: Freshness,
    },
}

impl Users {
    pub fn run(self, place: &Place, out: &mut Output) -> Result<(), Failure> {
        let views = self.views;
        let consistency = Consistency::AsIs;
        match self.command {
            UsersCommand::Create { id, name, email, time } => {
                change(id, time, UserAction::Create { name, email }, place, out)
            }
            UsersCommand::Update { id, name, email, time } => {
                change(id, time, UserAction::Update { name, email }, place, out)
            }
            UsersCommand::Delete { id, time } => change(id, time, UserAction::Delete, place, out),
            UsersCommand::Show { id: user_id, freshness } => {
                let users = queries(place, &views, freshness)?;
                match block_on(users.ask(GetUser { user_id: user_id.clone(), consistency }))? {
                    Some(user) => out.line(&user),
                    None => Err(ModelError::AggregateNotFound { id: user_id }.into()),
                }
            }
            UsersCommand::History { id } => history::<User>(&id, place, out),
            UsersCommand::List { name, email, paging, freshness } => {
                let page = paging.page()?;
                let users = queries(place, &views, freshness)?;
                out.line(&block_on(users.ask(GetUsers { name, email, page, consistency }))?)
            }
        }
    }
}

fn change(user_id: String, time: Time, action: UserAction, place: &Place, out: &mut Output) -> Result<(), Failure> {
    User::stream(&user_id)?;
    let request = UserRequest { user_id, at: time.at, action };
    let store = match request.action {
        UserAction::Create { .. } => {
            // What is refused where there is nothing yet is refused everywhere, and makes no store.
            block_on(UserService::new(Arc::new(MemoryStore::new()))?.handle(request.clone()))?;
            open::for_writing(place)?
        }
        UserAction::Update { .. } | UserAction::Delete => open::for_changing(place)?,
    };
    let users = UserService::new(store.shared())?;
    let receipt = block_on(users.handle(request))?;
    out.acknowledge(&receipt)?;
    store.close();
    Ok(())
}

/// Where to ask about users, with answers as recent as asked for.
fn queries(place: &Place, views: &ViewsPlace, freshness: Freshness) -> Result<QueryBus, Failure> {
    let store = open::for_reading(place)?;
    let views = views::fresh(&store, &views.open(place)?, Sample::Users, freshness)?;
    Ok(UserQueryHandler::new(views).into_bus()?)
}
