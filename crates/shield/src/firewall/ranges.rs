//! Many ranges as one sorted line of disjoint pieces, each with its end in time. It never reads a clock.

use std::net::IpAddr;

use super::{Cidr, number};

/// One piece of the line: from the first to the last address, until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    first: u128,
    last: u128,
    until_ms: u64,
}

/// Ranges, of which one can be found in O(log n). Two that cover an address count for as long as the later one does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Sorted, disjoint, merged where they touch and end alike.
    pieces: Vec<Piece>,
}

/// An end that never comes.
pub(crate) const NEVER_MS: u64 = u64::MAX;

impl Ranges {
    /// Ranges with the time at which each ends, in milliseconds of a clock that never goes back.
    pub(crate) fn until(ranges: impl IntoIterator<Item = (Cidr, u64)>) -> Self {
        let ranges = ranges.into_iter().map(|(cidr, until_ms)| {
            let (first, last) = cidr.range();
            Piece { first, last, until_ms }
        });
        let mut ranges: Vec<Piece> = ranges.collect();
        // The wider one first: two ranges of addresses are apart, or one holds the other.
        ranges.sort_unstable_by_key(|piece| (piece.first, std::cmp::Reverse(piece.last)));
        let mut line = Line::default();
        ranges.into_iter().for_each(|piece| line.open(piece));
        line.close_before(None);
        Self { pieces: line.done }
    }

    /// Whether one of them has an address. IPv4-mapped addresses count as IPv4.
    pub fn hold(&self, address: IpAddr, now_ms: u64) -> bool {
        let address = number(address);
        let after = self.pieces.partition_point(|piece| piece.first <= address);
        let piece = after.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece.is_some_and(|piece| address <= piece.last && now_ms < piece.until_ms)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

impl FromIterator<Cidr> for Ranges {
    fn from_iter<I: IntoIterator<Item = Cidr>>(ranges: I) -> Self {
        Self::until(ranges.into_iter().map(|cidr| (cidr, NEVER_MS)))
    }
}

/// The line while it grows, from the lowest address on.
#[derive(Default)]
struct Line {
    done: Vec<Piece>,
    /// Those that are open, the widest first, each within the one before and ending no sooner.
    open: Vec<Piece>,
    /// Up to where it is done, if anything is.
    next: u128,
    full: bool,
}

impl Line {
    fn open(&mut self, piece: Piece) {
        self.close_before(Some(piece.first));
        if let Some(around) = self.open.last() {
            if around.until_ms >= piece.until_ms {
                // It changes nothing.
                return;
            }
            let (until_ms, first) = (around.until_ms, self.next);
            if let Some(last) = piece.first.checked_sub(1) {
                self.put(Piece { first, last, until_ms });
            }
        }
        self.next = piece.first;
        self.open.push(piece);
    }

    /// Closes what ends before an address, or all.
    fn close_before(&mut self, first: Option<u128>) {
        while let Some(top) = self.open.last().copied() {
            if first.is_some_and(|first| top.last >= first) {
                return;
            }
            self.open.pop();
            self.put(Piece { first: self.next, ..top });
        }
    }

    fn put(&mut self, piece: Piece) {
        if self.full || piece.first > piece.last {
            return;
        }
        match piece.last.checked_add(1) {
            Some(next) => self.next = next,
            None => self.full = true,
        }
        match self.done.last_mut() {
            Some(before)
                if before.until_ms == piece.until_ms && before.last.checked_add(1) == Some(piece.first) =>
            {
                before.last = piece.last;
            }
            _ => self.done.push(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn cidr() -> impl Strategy<Value = Cidr> {
        // Few bits, so that ranges meet, hold each other, and touch the ends of the line.
        let v4 = (any::<[bool; 6]>(), 0..=32_u8).prop_map(|(bits, len)| {
            let raw =
                [31, 30, 29, 2, 1, 0].iter().zip(bits).fold(0_u32, |n, (at, on)| n | u32::from(on) << at);
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            format!("{}/{len}", Ipv4Addr::from_bits(raw & mask)).parse().unwrap()
        });
        let v6 = (any::<[bool; 6]>(), 0..=128_u8).prop_map(|(bits, len)| {
            let at = [127, 126, 65, 64, 1, 0];
            let raw = at.iter().zip(bits).fold(0_u128, |n, (at, on)| n | u128::from(on) << at);
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            format!("{}/{len}", Ipv6Addr::from_bits(raw & mask)).parse().unwrap()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn as_a_plain_list_says(
            list in prop::collection::vec((cidr(), 1..6_u64), 0..24),
            other in any::<u32>(),
        ) {
            let ranges = Ranges::until(list.iter().copied());
            let mut asked: Vec<u128> = vec![0, u128::MAX, number(IpAddr::V4(other.into()))];
            for (cidr, _) in &list {
                let (first, last) = cidr.range();
                asked.extend([first, last, first.saturating_sub(1), last.saturating_add(1)]);
            }
            for address in asked {
                for now_ms in 0..7 {
                    let plain = list.iter().any(|(cidr, until)| {
                        let (first, last) = cidr.range();
                        (first..=last).contains(&address) && now_ms < *until
                    });
                    let address = IpAddr::V6(Ipv6Addr::from_bits(address));
                    prop_assert_eq!(ranges.hold(address, now_ms), plain, "{:?} {} {}", list, address, now_ms);
                }
            }
            for (a, b) in ranges.pieces.iter().zip(ranges.pieces.iter().skip(1)) {
                prop_assert!(a.first <= a.last && a.last < b.first, "{:?}", ranges);
            }
        }
    }

    #[test]
    fn a_hundred_thousand_are_found_in_a_few_steps() {
        let at = |n: u32| Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761) & !0xff);
        let list: Vec<(Cidr, u64)> =
            (0..100_000).map(|n| (format!("{}/24", at(n)).parse().unwrap(), 1 + u64::from(n))).collect();
        let began = std::time::Instant::now();
        let ranges = Ranges::until(list);
        let took = began.elapsed();
        // Far from what it takes; a quadratic one would take minutes.
        assert!(took.as_millis() < 1_000, "{took:?}");
        let began = std::time::Instant::now();
        let found = (0..100_000).filter(|n| ranges.hold(IpAddr::V4(at(*n)), 0)).count();
        assert_eq!(found, 100_000);
        assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
        assert!(!ranges.hold(IpAddr::V4(at(7)), 8) && ranges.hold(IpAddr::V4(at(8)), 8));
    }

    #[test]
    fn what_touches_is_one_piece() {
        let of = |list: &[&str]| list.iter().map(|t| t.parse::<Cidr>().unwrap()).collect::<Ranges>();
        assert_eq!(of(&["10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/10"]).pieces.len(), 1);
        assert_eq!(of(&["10.0.0.0/24", "10.0.2.0/24"]).pieces.len(), 2);
        assert_eq!(of(&["::/0", "10.0.0.0/8"]).pieces.len(), 1);
        assert!(of(&[]).is_empty());
    }
}
