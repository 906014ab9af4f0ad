//! The one queue that a relay stands for: publishes go to its consumers in turn, so a second
//! queue beside it would get what is not its own.

/// Name of the queue that is consumed now.
#[derive(Debug, Default)]
pub(crate) struct OneQueue {
    name: String,
    consumers: usize,
    /// Names that were made up for clients that gave none.
    generated: u64,
}

impl OneQueue {
    /// A name that no other queue has.
    pub(crate) fn generate_name(&mut self) -> String {
        self.generated += 1;
        format!("amq.gen-relay-{}", self.generated)
    }

    /// A connection consumes a queue.
    ///
    /// # Errors
    /// Another one is being consumed: why that cannot be, for the user.
    pub(crate) fn begin(&mut self, name: &str) -> Result<(), String> {
        if self.consumers > 0 && self.name != name {
            return Err("a relay has one queue: name it (-u), all consumers share it".to_owned());
        }
        name.clone_into(&mut self.name);
        self.consumers += 1;
        Ok(())
    }

    /// A connection that consumed has ended.
    pub(crate) fn end(&mut self) {
        assert!(self.consumers > 0, "each began");
        self.consumers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_queue_has_to_wait_until_the_first_is_free() {
        let mut queue = OneQueue::default();
        assert_ne!(queue.generate_name(), queue.generate_name());
        assert_eq!((queue.begin("a"), queue.begin("a")), (Ok(()), Ok(())));
        queue.end();
        assert!(queue.begin("b").is_err());
        queue.end();
        assert_eq!(queue.begin("b"), Ok(()));
    }
}
