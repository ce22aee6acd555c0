//! What is known of the profiles for whom a condition holds.

use roaring::RoaringBitmap;

/// The profiles for whom a condition holds for certain, and those for whom it may hold, the former included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sides {
    /// For these it holds.
    pub(crate) must: RoaringBitmap,
    /// For all others it does not.
    pub(crate) may: RoaringBitmap,
}

impl Sides {
    /// It holds for exactly these.
    pub(crate) fn exactly(profiles: RoaringBitmap) -> Self {
        Self { must: profiles.clone(), may: profiles }
    }

    /// It holds for nobody.
    pub(crate) fn nobody() -> Self {
        Self::exactly(RoaringBitmap::new())
    }

    /// It may hold for these, and for nobody else.
    pub(crate) fn perhaps(profiles: RoaringBitmap) -> Self {
        Self { must: RoaringBitmap::new(), may: profiles }
    }

    /// Both hold.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self { must: &self.must & &other.must, may: &self.may & &other.may }
    }

    /// One of the two holds.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self { must: &self.must | &other.must, may: &self.may | &other.may }
    }

    /// It does not hold; of these profiles.
    pub(crate) fn not(&self, live: &RoaringBitmap) -> Self {
        Self { must: live - &self.may, may: live - &self.must }
    }

    /// Those of whom it is not known.
    pub(crate) fn undecided(&self) -> RoaringBitmap {
        &self.may - &self.must
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_stays_so() {
        let set = |docs: &[u32]| docs.iter().copied().collect::<RoaringBitmap>();
        let sides = |must: &[u32], may: &[u32]| Sides { must: set(must), may: set(may) };
        let live = set(&[1, 2, 3, 4]);
        let one = sides(&[1], &[1, 2]);
        let other = sides(&[1, 3], &[1, 2, 3]);
        let cases = [
            ("and", one.clone().and(&other), sides(&[1], &[1, 2])),
            ("or", one.clone().or(&other), sides(&[1, 3], &[1, 2, 3])),
            ("not", one.not(&live), sides(&[3, 4], &[2, 3, 4])),
            ("not not", one.not(&live).not(&live), one.clone()),
            ("nobody", Sides::nobody().or(&one), one.clone()),
        ];
        for (name, got, want) in cases {
            assert_eq!(got, want, "{name}");
        }
        assert_eq!(one.undecided(), set(&[2]));
        assert!(Sides::exactly(live).undecided().is_empty());
    }
}
