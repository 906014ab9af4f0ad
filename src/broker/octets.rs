//! Comparing names.

/// Whether two names are the same. Names are mostly so short that a call of the C library costs
/// more than what it does; two looks that may overlap compare up to 32 octets. Besides, on
/// processors with AVX-512 the C library loads under an empty mask from where an empty buffer
/// dangles, which takes the processor as long as a third of all that a publish takes.
#[inline]
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && match a.len() {
            0 => true,
            1..4 => a == b,
            4..8 => have_same_ends::<4>(a, b),
            8..16 => have_same_ends::<8>(a, b),
            16..=32 => have_same_ends::<16>(a, b),
            _ => a == b,
        }
}

/// Compares N to 2 N octets.
#[inline]
fn have_same_ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_octet_that_differs_is_found() {
        let name: Vec<u8> = (1..=40).collect();
        for len in 0..=name.len() {
            let name = &name[..len];
            let mut other = name.to_vec();
            assert!(is_same(name, &other));
            for at in 0..len {
                other.copy_from_slice(name);
                other[at] = 0;
                assert!(!is_same(name, &other));
                assert!(!is_same(name, &name[..at]));
            }
        }
    }
}
