//! Parts that few need.

/// A part that most of the things that could have it never need: made when it is first used, gone
/// with [`Rare::forget_if`]. One that is not there costs a pointer.
#[derive(Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Rare(None)
    }
}

impl<T: Default> Rare<T> {
    /// The part, if it was made.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The part, if it was made.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// The part; it is made if it is not there.
    pub(crate) fn get_or_make(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    /// Lets the part go if it is no longer needed.
    pub(crate) fn forget_if(&mut self, is_needless: impl FnOnce(&mut T) -> bool) {
        if self.0.as_mut().is_some_and(|part| is_needless(part)) {
            self.0 = None;
        }
    }
}
