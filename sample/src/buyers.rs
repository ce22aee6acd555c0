//! Who buys again: people who say who they are, with two orders or more.
//!
//! An order counts for a person if it names their user id. One that names only their e-mail address (a receipt by
//! e-mail) counts once they have signed in with that address: that makes one profile of both.

use crate::call::{Call, CallKind, Sending};
use crate::party::Draft;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Buyer {
    orders: u64,
    orders_by_email: u64,
    signed_in_by_email: bool,
}

/// How many people of some whole parties buy again.
pub(crate) fn repeat_buyers(drafts: &[Draft]) -> u64 {
    let mut buyers: BTreeMap<u64, Buyer> = BTreeMap::new();
    for call in drafts.iter().map(|draft| &draft.call).filter(|call| call.sending == Sending::First) {
        let is_order = call.kind == CallKind::Track && call.body.contains("\"event\":\"Order Completed\"");
        if !is_order && call.kind != CallKind::Identify {
            continue;
        }
        let buyer = buyers.entry(call.person).or_default();
        match (is_order, names_user(call), names_email(call)) {
            (true, true, _) => buyer.orders += 1,
            (true, false, true) => buyer.orders_by_email += 1,
            (true, false, false) => {}
            (false, is_signed_in, has_email) => buyer.signed_in_by_email |= is_signed_in && has_email,
        }
    }
    let orders =
        |buyer: &Buyer| buyer.orders + if buyer.signed_in_by_email { buyer.orders_by_email } else { 0 };
    buyers.values().filter(|buyer| orders(buyer) >= 2).count() as u64
}

fn names_user(call: &Call) -> bool {
    call.body.contains("\"userId\":\"")
}

fn names_email(call: &Call) -> bool {
    call.body.contains("\"email\":\"")
}
