//! The run: setup, the time of operations and faults, and the way to rest.

use haremq_broker::ids::Time;

use crate::client::{Client, State};
use crate::corruption::Corruption;
use crate::model::{Model, QueueKind};
use crate::parameters::Parameters;
use crate::prng::Prng;
use crate::workload::{FIRM_EXCHANGE, KEYS, LOOSE_EXCHANGE};
use crate::world::{Step, World};
use crate::{Summary, trace};

/// Steps without anything to wait for, after which something goes in circles.
const STEPS_TO_IDLE_MAX: u64 = 400_000;
/// Steps between two looks at all machines.
const CHECK_STEPS: u64 = 256;
/// Longest jump of late time, in milliseconds.
const LATE_MS_MAX: u64 = 50;

/// One run.
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) clients: Vec<Client>,
    pub(crate) workload: Prng,
    faults: Prng,
    scheduling: Prng,
    ready: Vec<Step>,
    steps: u64,
    names: u64,
    /// Messages that the last declare-ok told of.
    pub(crate) counted: u64,
}

impl Simulation {
    /// The world of these parameters; nothing has happened in it.
    pub(crate) fn new(seed: u64, parameters: Parameters, corruption: Corruption) -> Simulation {
        let clients = (0..parameters.clients).map(|_| Client::new()).collect();
        Simulation {
            world: World::new(seed, parameters, corruption),
            model: Model::default(),
            clients,
            workload: Prng::new(seed, 0x0b0e),
            faults: Prng::new(seed, 0xfa17),
            scheduling: Prng::new(seed, 0x57e9),
            ready: Vec::new(),
            steps: 0,
            names: 0,
            counted: 0,
        }
    }

    /// Everything, from the first connection until nothing is left.
    pub(crate) fn run(mut self) -> Result<Summary, String> {
        self.set_up()?;
        self.live()?;
        self.come_to_rest()?;
        Ok(Summary {
            hash: trace::hash(),
            steps: self.steps,
            published: self.model.messages.len(),
            delivered: self.model.delivered,
            channels: self.model.endings.len(),
        })
    }

    /// A name that was not used before.
    pub(crate) fn next_name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// One client declares what is always there.
    fn set_up(&mut self) -> Result<(), String> {
        self.model.queue_ttl_ms = self.world.parameters.ttl_ms_max;

        self.name_queues();
        self.clients[0].connect(&mut self.world);
        self.run_to_idle()?;
        self.open_channel_as(0, 1, crate::channel::Mode::Plain);
        self.send_declare_exchange(0, 1, LOOSE_EXCHANGE, "topic");
        self.send_declare_exchange(0, 1, FIRM_EXCHANGE, "fanout");
        for queue in self.model.queues_of(QueueKind::is_permanent) {
            self.send_declare(0, 1, queue, false, false);
        }
        for queue in self.model.queues_of(|kind| kind == QueueKind::Stable).into_iter().take(2) {
            self.send_bind(0, 1, queue, FIRM_EXCHANGE, KEYS[0]);
        }
        self.clients[0].flush(&mut self.world);
        self.run_to_idle()?;
        self.check_answered()
    }

    fn name_queues(&mut self) {
        let (stable, others) =
            (self.world.parameters.stable_queues, self.world.parameters.other_queues);
        for number in 0..stable {
            self.model.add_queue(format!("stable-{number}"), QueueKind::Stable);
        }
        for number in 0..others {
            for (name, kind) in [
                ("purgeable", QueueKind::Purgeable),
                ("expiring", QueueKind::Expiring),
                ("deletable", QueueKind::Deletable),
                ("auto-delete", QueueKind::AutoDelete),
                ("leased", QueueKind::Leased),
            ] {
                self.model.add_queue(format!("{name}-{number}"), kind);
            }
            for client in 0..self.clients.len() {
                let name = format!("exclusive-{client}-{number}");
                self.model.add_queue(name, QueueKind::Exclusive);
            }
        }
    }

    /// Operations and faults among everything else that happens.
    fn live(&mut self) -> Result<(), String> {
        let mut left = self.world.parameters.operations;
        while left > 0 {
            self.inject_fault();
            self.world.list_steps(&mut self.ready);
            let is_operation = self.ready.is_empty() || self.scheduling.chance(150);
            if self.scheduling.chance(self.world.parameters.late_permille) || self.ready.is_empty()
            {
                self.pass_time();
            }
            if is_operation {
                self.operate();
                left -= 1;
            } else {
                self.take_any_step()?;
            }
        }
        trace::note("operations and faults end".into());
        self.world.end_faults();
        Ok(())
    }

    fn inject_fault(&mut self) {
        if self.faults.chance(self.world.parameters.reset_permille) {
            let client = self.faults.below(self.clients.len());
            self.reset_connection(client);
        }
        if self.faults.chance(self.world.parameters.memory_permille) {
            let is_over_limit = self.faults.chance(500);
            self.world.set_over_limit(is_over_limit);
        }
    }

    fn pass_time(&mut self) {
        let jump_ms = self.scheduling.between(1, LATE_MS_MAX);
        self.world.advance(self.world.now.after_ms(jump_ms));
    }

    /// One of the ready steps, chosen by the weights of its kind.
    fn take_any_step(&mut self) -> Result<(), String> {
        let weights = self.world.parameters.step_weights;
        let weights: Vec<u64> = self.ready.iter().map(|step| weights[step.kind()]).collect();
        let step = self.ready[self.scheduling.weighted(&weights)];
        self.steps += 1;
        if self.steps.is_multiple_of(CHECK_STEPS) {
            self.world.check_invariants();
        }
        match step {
            Step::Read(socket) => {
                let bytes = self.world.read(socket);
                match self.clients.iter().position(|client| client.socket == socket) {
                    Some(client) => self.receive(client, &bytes),
                    None => Ok(()),
                }
            }
            step => {
                self.world.take_step(step);
                Ok(())
            }
        }
    }

    fn receive(&mut self, client: usize, bytes: &[u8]) -> Result<(), String> {
        let mut events = Vec::new();
        let result = self.clients[client].session.handle_received_owned(bytes, &mut events);
        for event in events {
            self.handle_event(client, event)?;
        }
        result.map_err(|error| format!("client {client}: {error}"))?;
        self.clients[client].flush(&mut self.world);
        Ok(())
    }

    /// Goes on until nothing is ready and nothing is on its way; timers are not waited for.
    pub(crate) fn run_to_idle(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_TO_IDLE_MAX {
            self.world.list_steps(&mut self.ready);
            if !self.ready.is_empty() {
                self.take_any_step()?;
            } else if let Some(due) = self.world.next_arrival() {
                self.world.advance(due);
            } else {
                return self.check_ends();
            }
        }
        Err("the broker does not come to rest".into())
    }

    /// Goes on for so long, with all timers that are due.
    pub(crate) fn run_for_ms(&mut self, ms: u64) -> Result<(), String> {
        let end = self.world.now.after_ms(ms);
        loop {
            self.run_to_idle()?;
            let next = self.world.next_timer().unwrap_or(Time(u64::MAX));
            if self.world.now >= end {
                return Ok(());
            }
            self.world.advance(next.clamp(self.world.now, end));
        }
    }

    /// A connection that the broker has ended must have been told so, unless it talked nonsense:
    /// then there may be no time for it.
    fn check_ends(&mut self) -> Result<(), String> {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            if client.state == State::Idle || !self.world.is_at_end(client.socket) {
                continue;
            }
            if !client.must_break {
                return Err(format!("client {index} lost its connection, {:?}", client.state));
            }
            self.handle_connection_closed(index, None)?;
        }
        Ok(())
    }
}
