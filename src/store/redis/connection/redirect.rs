//! `MOVED` and `ASK`: another node of the cluster has the slot, or is getting it.

use redis::ServerError;

use super::place::Place;

/// Where a command has to go, which was certainly not executed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::redis) struct Redirect {
    /// Only this once, and announced by `ASKING`: the slot is on its way.
    pub(super) asking: bool,
    pub(super) slot: u16,
    host: String,
    port: u16,
    /// Who told it.
    teller: Option<Place>,
}

impl Redirect {
    /// `MOVED 3999 127.0.0.1:6381`
    pub(super) fn read(error: &ServerError) -> Option<Self> {
        let asking = match error.code() {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let (slot, place) = error.details()?.split_once(' ')?;
        let (host, port) = place.rsplit_once(':')?;
        let (slot, port) = (slot.parse().ok()?, port.parse().ok()?);
        Some(Self { asking, slot, host: host.to_owned(), port, teller: None })
    }

    pub(super) fn told_by(&mut self, teller: &Place) {
        self.teller = Some(teller.clone());
    }

    /// Where to.
    pub(super) fn place(&self) -> Option<Place> {
        match &self.teller {
            Some(teller) => Place::told(&self.host, self.port, teller),
            None => Some(Place::tcp(self.host.as_str(), self.port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Redirect> {
        let reply = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let redis::Value::ServerError(error) = reply else { panic!("{reply:?} is not an error") };
        Redirect::read(&error)
    }

    #[test]
    fn redirects_are_read() {
        let moved = read("MOVED 3999 127.0.0.1:6381").unwrap();
        assert_eq!((moved.asking, moved.slot, moved.place()), (false, 3999, Some(Place::tcp("127.0.0.1", 6381))));
        let mut ask = read("ASK 1 :6382").unwrap();
        ask.told_by(&Place::tcp("host", 1));
        assert_eq!((ask.asking, ask.place()), (true, Some(Place::tcp("host", 6382))));
        assert_eq!(read("ERR something else"), None);
        assert_eq!(read("MOVED nowhere"), None);
    }
}
