//! JSON texts with places that are filled in anew for each event: writing one costs little more than a copy.

use crate::population::Population;
use std::io::Write;

/// Given names, for people who identify themselves.
const NAMES: [&str; 8] = ["Ada", "Grace", "Niklaus", "Barbara", "Edsger", "Radia", "Tony", "Frances"];

/// A text with places, each written as its name in angle brackets.
#[derive(Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(&'static str),
    Place(Place),
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Email,
    Name,
    Number,
    Price,
    Product,
    Time,
}

/// What the places are filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    pub(crate) population: &'a Population,
    pub(crate) person: u64,
    /// Decides about product, price and number.
    pub(crate) number: u32,
    pub(crate) time: &'a str,
}

impl Template {
    /// Takes a text apart. Texts hold no other angle brackets.
    pub(crate) fn parse(text: &'static str) -> Self {
        let mut pieces = Vec::new();
        for (at, part) in text.split('<').enumerate() {
            let rest = match part.split_once('>') {
                Some((name, rest)) if at > 0 => {
                    pieces.push(Piece::Place(Place::of(name)));
                    rest
                }
                _ => part,
            };
            if !rest.is_empty() {
                pieces.push(Piece::Text(rest));
            }
        }
        Self(pieces)
    }

    /// Writes it, filled in.
    pub(crate) fn write(&self, filling: &Filling<'_>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Place(place) => place.write(filling, out),
            }
        }
    }
}

impl Place {
    fn of(name: &str) -> Self {
        match name {
            "email" => Self::Email,
            "name" => Self::Name,
            "number" => Self::Number,
            "price" => Self::Price,
            "product" => Self::Product,
            "time" => Self::Time,
            other => panic!("no place is called {other}"),
        }
    }

    fn write(self, filling: &Filling<'_>, out: &mut Vec<u8>) {
        let number = filling.number;
        let written = match self {
            Self::Email => {
                filling.population.write_email(filling.person, out);
                Ok(())
            }
            Self::Name => {
                let index = filling.population.hash(filling.person, 5) % NAMES.len() as u64;
                let index = usize::try_from(index).expect("below the number of names");
                out.extend_from_slice(NAMES[index].as_bytes());
                Ok(())
            }
            Self::Number => write!(out, "{}", number % 100),
            Self::Price => write!(out, "{}.{:02}", number % 180 + 1, number % 100),
            Self::Product => write!(out, "SKU-{:05}", number % 20_000),
            Self::Time => {
                out.extend_from_slice(filling.time.as_bytes());
                Ok(())
            }
        };
        written.expect("a vector takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_the_rest_is_kept() {
        let population = Population::new(1, 10);
        let filling = Filling { population: &population, person: 3, number: 20_105, time: "now" };
        let mut email = Vec::new();
        population.write_email(3, &mut email);
        let email = String::from_utf8(email).expect("ASCII");
        let cases = [
            ("", String::new()),
            ("plain", "plain".to_owned()),
            ("<product>", "SKU-00105".to_owned()),
            ("a<price>b<number>", "a126.05b5".to_owned()),
            ("<email><time> > end", format!("{email}now > end")),
        ];
        for (text, want) in cases {
            let mut out = Vec::new();
            Template::parse(text).write(&filling, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), want, "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "no place is called colour")]
    fn an_unknown_place_is_a_mistake() {
        let _ = Template::parse("<colour>");
    }
}
