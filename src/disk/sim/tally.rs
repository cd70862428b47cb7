//! What a simulation has done, in numbers: one that did too little has shown nothing.

/// What power cuts and failed syncs did to writes that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes that are on the medium as a whole.
    pub kept: u64,
    /// Writes and lengths of which nothing is there.
    pub lost: u64,
    /// Sectors that are missing of writes whose other sectors may be there.
    pub torn_sectors: u64,
    /// Files that became longer without their data.
    pub sizes_without_data: u64,
    /// Of those, the ones whose new part holds what nobody wrote.
    pub garbage: u64,
    /// New names, renames and removals that are on the medium.
    pub names_kept: u64,
    /// New names, renames and removals that are not.
    pub names_lost: u64,
}

impl Tally {
    /// Adds what another counted.
    pub fn add(&mut self, other: Tally) {
        self.kept += other.kept;
        self.lost += other.lost;
        self.torn_sectors += other.torn_sectors;
        self.sizes_without_data += other.sizes_without_data;
        self.garbage += other.garbage;
        self.names_kept += other.names_kept;
        self.names_lost += other.names_lost;
    }
}
