//! What shards ask of their replica before they act: existence, permission and exclusive access,
//! with the reply text if it fails.

use haremq_protocol::reply::ProtocolError;

use super::command::Origin;
use super::delta::QueueRecord;
use super::name::strip_line_ends;
use super::refusal::{self, BASIC_PUBLISH, EXCHANGE_DECLARE, MethodIds, QUEUE_DECLARE};
use super::user::Resource;
use super::{Catalog, UserId};
use crate::exchange::Exchange;
use crate::ids::{ConnectionAddress, VhostId};

impl Catalog {
    /// `exchange.declare`, passive: only the name matters (EXC-11).
    pub fn check_passive_exchange(
        &self,
        origin: Origin,
        name: &str,
    ) -> Result<&Exchange, ProtocolError> {
        let (vhost, name) = (origin.vhost, &*strip_line_ends(name));
        if name.is_empty() {
            return Err(refusal::default_exchange(EXCHANGE_DECLARE));
        }
        self.check_any(origin, Resource::Exchange(name), EXCHANGE_DECLARE)?;
        self.exchange(vhost, name.as_bytes())
            .ok_or_else(|| refusal::no_exchange(name, self.vhost_name(vhost), EXCHANGE_DECLARE))
    }

    /// `queue.declare`, passive: only the name matters, and an empty one is not replaced (QUE-6).
    pub fn check_passive_queue(
        &self,
        origin: Origin,
        name: &str,
    ) -> Result<&QueueRecord, ProtocolError> {
        let name = &*strip_line_ends(name);
        self.check_any(origin, Resource::Queue(name), QUEUE_DECLARE)?;
        self.accessible_queue(origin, name, QUEUE_DECLARE)
    }

    /// `basic.publish`: write permission, existence, not internal, in this order (PUB-3 to PUB-5).
    pub fn check_publish(
        &self,
        vhost: VhostId,
        user: UserId,
        name: &str,
    ) -> Result<&Exchange, ProtocolError> {
        self.check_write(vhost, user, Resource::Exchange(name), BASIC_PUBLISH)?;
        let exchange = self
            .exchange(vhost, name.as_bytes())
            .ok_or_else(|| refusal::no_exchange(name, self.vhost_name(vhost), BASIC_PUBLISH))?;
        if exchange.record().internal {
            return Err(refusal::internal_exchange(name, self.vhost_name(vhost)));
        }
        Ok(exchange)
    }

    /// `basic.consume`, `basic.get` and `queue.purge`: permission, existence and exclusive access.
    /// `name` is taken verbatim (CHN-9), the empty one already replaced (CHN-8).
    pub fn check_queue_read(
        &self,
        origin: Origin,
        name: &str,
        method: MethodIds,
    ) -> Result<&QueueRecord, ProtocolError> {
        self.check_read(origin.vhost, origin.user, Resource::Queue(name), method)?;
        self.accessible_queue(origin, name, method)
    }

    /// An exclusive queue is for its own connection only (QUE-50).
    pub fn check_exclusive_access(
        &self,
        queue: &QueueRecord,
        connection: ConnectionAddress,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        match queue.exclusive_owner {
            Some(owner) if owner != connection => {
                Err(refusal::exclusive_lock(&queue.name, self.vhost_name(queue.vhost), method))
            }
            _ => Ok(()),
        }
    }

    fn accessible_queue(
        &self,
        origin: Origin,
        name: &str,
        method: MethodIds,
    ) -> Result<&QueueRecord, ProtocolError> {
        let queue = self
            .queue(origin.vhost, name.as_bytes())
            .ok_or_else(|| refusal::no_queue(name, self.vhost_name(origin.vhost), method))?;
        self.check_exclusive_access(queue, origin.connection, method)?;
        Ok(queue)
    }

    /// Any one of the three permissions will do; the lack of all is told as that of the first.
    fn check_any(
        &self,
        origin: Origin,
        resource: Resource<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        let Origin { vhost, user, .. } = origin;
        let refused = self.check_configure(vhost, user, resource, method);
        if refused.is_err()
            && self.check_write(vhost, user, resource, method).is_err()
            && self.check_read(vhost, user, resource, method).is_err()
        {
            return refused;
        }
        Ok(())
    }
}
