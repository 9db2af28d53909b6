//! Variables that Kubernetes puts into every container for every Service, named after it.

/// Whether it is one of a Service whose name begins with `hapax`: `…_SERVICE_HOST`, `…_SERVICE_PORT`,
/// `…_SERVICE_PORT_<name>`, `…_PORT`, `…_PORT_80_TCP`, `…_PORT_80_TCP_ADDR`, `_PORT` and `_PROTO`.
pub(super) fn is_of_a_service(name: &str, value: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let address = |text: &str| ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") {
        return value.parse::<std::net::IpAddr>().is_ok();
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return number(value);
    }
    if name.ends_with("_PORT") && address(value) {
        return true;
    }
    // Each place where `_PORT` stands, since the Service's own name may hold one; what follows it may overlap the next.
    name.match_indices("_PORT").filter_map(|(at, found)| name[at + found.len()..].strip_prefix('_')).any(|rest| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(number)
            && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
            && parts.next().is_none_or(|part| ["ADDR", "PORT", "PROTO"].contains(&part))
            && parts.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_is_known_and_a_mistake_is_not() {
        for (name, value) in [
            ("HAPAX_PORT", "tcp://10.0.0.1:80"),
            ("HAPAX_SERVICE_HOST", "10.0.0.1"),
            ("HAPAX_ORDERS_SERVICE_HOST", "fd00::1"),
            ("HAPAX_ORDERS_SERVICE_PORT", "80"),
            ("HAPAX_ORDERS_SERVICE_PORT_HTTP_METRICS", "80"),
            ("HAPAX_ORDERS_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("HAPAX_ORDERS_PORT_53_UDP_ADDR", "10.0.0.1"),
            ("HAPAX_PORT_PORT_80_TCP_PROTO", "tcp"),
            ("HAPAX_KAFKA_PORT_9092_TCP_PORT", "9092"),
        ] {
            assert!(is_of_a_service(name, value), "{name}");
        }
        for (name, value) in [
            ("HAPAX_HEALTH_PORT", "7172"),
            ("HAPAX_SERVICE_HOST", "example.org"),
            ("HAPAX_SERVICE_PORT", "http"),
            ("HAPAX_PORT_HTTP_TCP", "tcp://10.0.0.1:80"),
            ("HAPAX_PORT_80_TCP_ADDRESS", "10.0.0.1"),
            ("HAPAX_PORT_80_TCP_ADDR_X", "10.0.0.1"),
        ] {
            assert!(!is_of_a_service(name, value), "{name}");
        }
    }
}
