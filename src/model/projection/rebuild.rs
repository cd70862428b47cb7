//! Building a projection's tables anew, while the present ones answer.

use super::{Runner, runner::Halt};
use crate::{model::ModelError, version::Position};

impl Runner {
    /// Builds the tables from the first event on, beside the present ones, and puts them in their place when they hold all
    /// that the present ones do. Readers see the present ones until then; the projection may run meanwhile, and may be
    /// paused. A rebuild that is dropped or killed leaves everything as it was. Returns how far the new tables have come.
    ///
    /// It replaces a read model that was made from another store, too.
    ///
    /// # Errors
    ///
    /// As for [`Runner::catch_up`]; the present tables stay.
    pub async fn rebuild(&self) -> Result<Position, ModelError> {
        let present = self.read_model.prepare().await?.checkpoint;
        let foreign = match self.check_belongs(present).await {
            Err(ModelError::ForeignViews { .. }) => true,
            checked => checked.map(|()| false)?,
        };
        let fresh = self.read_model.fresh().await?;
        let building = self.clone().over(fresh.read_model());
        loop {
            let reached = match building.advance(Position::MAX).await? {
                Halt::End(reached) => reached.position,
                Halt::Paused => Position::START,
            };
            // While these caught up, the present ones may have taken what came.
            if fresh.swap_in(foreign).await? {
                return Ok(reached);
            }
        }
    }
}
