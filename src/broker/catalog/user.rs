//! Users, their authentication and their permissions.

use haremq_protocol::reply::ProtocolError;

use super::Catalog;
use super::refusal::{self, MethodIds};
use crate::ids::VhostId;

/// A user, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// Who may connect. Owned by the catalog, so it exists on every shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Name, as in SASL responses and in reply texts.
    pub name: Box<str>,
    /// Password in clear: there is only the well-known one of `guest` yet.
    password: Box<str>,
    /// May only log in over a loopback address (CONN-33).
    pub loopback_only: bool,
}

/// Why a login was refused: for the log only, clients get one text for all causes (CONN-30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    /// No such user.
    UnknownUser,
    /// The password is blank (CONN-32) or wrong.
    WrongPassword,
    /// A loopback-only user came from elsewhere (CONN-33).
    NotFromLoopback,
}

/// What one of the three permissions is asked for (ERR-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// An exchange by name; the empty one is checked as `amq.default`.
    Exchange(&'a str),
    /// A queue by name.
    Queue(&'a str),
}

impl User {
    /// The user that a new broker knows (VH-1).
    pub(super) fn guest() -> User {
        User { id: UserId(0), name: "guest".into(), password: "guest".into(), loopback_only: true }
    }

    fn has_password(&self, password: &[u8]) -> bool {
        let ours = self.password.as_bytes();
        // Every octet is compared, so that the time taken does not tell how many were right.
        let difference = ours.iter().zip(password).fold(0, |sum, (a, b)| sum | (a ^ b));
        !password.is_empty() && ours.len() == password.len() && difference == 0
    }
}

impl Catalog {
    /// The user that `name` and `password` belong to (CONN-30 to CONN-33). `is_loopback` tells
    /// whether the socket's peer address is a loopback one.
    pub fn authenticate(
        &self,
        name: &[u8],
        password: &[u8],
        is_loopback: bool,
    ) -> Result<&User, LoginRefusal> {
        let user = self
            .users
            .iter()
            .find(|user| user.name.as_bytes() == name)
            .ok_or(LoginRefusal::UnknownUser)?;
        if !user.has_password(password) {
            return Err(LoginRefusal::WrongPassword);
        }
        if user.loopback_only && !is_loopback {
            return Err(LoginRefusal::NotFromLoopback);
        }
        Ok(user)
    }

    /// A user by id.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The vhost that `connection.open` names, if it is there and open to the user (CONN-50).
    pub fn check_open(&self, user: UserId, vhost: &str) -> Result<VhostId, ProtocolError> {
        let id = self.vhost(vhost).ok_or_else(|| refusal::no_vhost(vhost))?;
        if !self.is_permitted(user) {
            return Err(refusal::vhost_refused(vhost, self.user_name(user)));
        }
        Ok(id)
    }

    /// May the user configure the resource? (PRM-3, ERR-42)
    pub fn check_configure(
        &self,
        vhost: VhostId,
        user: UserId,
        resource: Resource<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        self.check_permission("configure", vhost, user, resource, method)
    }

    /// May the user write to the resource? (PRM-3, ERR-42)
    pub fn check_write(
        &self,
        vhost: VhostId,
        user: UserId,
        resource: Resource<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        self.check_permission("write", vhost, user, resource, method)
    }

    /// May the user read from the resource? (PRM-3, ERR-42)
    pub fn check_read(
        &self,
        vhost: VhostId,
        user: UserId,
        resource: Resource<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        self.check_permission("read", vhost, user, resource, method)
    }

    fn check_permission(
        &self,
        permission: &str,
        vhost: VhostId,
        user: UserId,
        resource: Resource<'_>,
        method: MethodIds,
    ) -> Result<(), ProtocolError> {
        if self.is_permitted(user) {
            return Ok(());
        }
        let (vhost, user) = (self.vhost_name(vhost), self.user_name(user));
        Err(refusal::access(permission, resource, vhost, user, method))
    }

    /// Until permission entries exist, every known user may do everything: `guest` has `.*` three
    /// times (VH-1).
    fn is_permitted(&self, user: UserId) -> bool {
        self.user(user).is_some()
    }

    fn user_name(&self, user: UserId) -> &str {
        self.user(user).map_or("", |user| &user.name)
    }
}
