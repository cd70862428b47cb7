//! What a suite has done. One that did too little has shown nothing.

use std::fmt;

use factlog::sim::Tally;

#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    pub workloads: u64,
    pub acknowledged: u64,
    pub kills: u64,
    pub power_cuts: u64,
    pub recoveries: u64,
    pub faults: u64,
    pub flipped: u64,
    pub tally: Tally,
}

impl Numbers {
    pub fn add(&mut self, other: Numbers) {
        self.workloads += other.workloads;
        self.acknowledged += other.acknowledged;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.recoveries += other.recoveries;
        self.faults += other.faults;
        self.flipped += other.flipped;
        self.tally.add(other.tally);
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Numbers { workloads, acknowledged, kills, power_cuts, recoveries, faults, flipped, tally } = self;
        let Tally { kept, lost, torn_sectors, sizes_without_data, garbage, names_kept, names_lost } = tally;
        write!(
            f,
            "{workloads} runs, {acknowledged} acknowledged appends, {kills} kills, {power_cuts} power cuts, \
             {recoveries} recoveries, {faults} faults, {flipped} damaged copies; of unsynced writes {kept} kept, {lost} lost, \
             {torn_sectors} sectors torn off, {sizes_without_data} lengths without data, {garbage} with garbage; \
             of unsynced names {names_kept} kept, {names_lost} lost"
        )
    }
}
