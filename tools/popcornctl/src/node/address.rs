// SPDX-License-Identifier: GPL-2.0
//! Addresses as people write them.

use popcorn_core::address::Address;
use popcorn_core::address::AddressError;
use popcorn_core::address::DEFAULT_PORT;
use std::net::IpAddr;

fn parse(text: &str) -> Result<Address, String> {
    Address::parse(text.as_bytes()).map_err(|error| match error {
        AddressError::Syntax => {
            "expected an IP address, as 192.0.2.1, 192.0.2.1:7411 or [2001:db8::1]:7411; names are not looked up"
                .into()
        }
        AddressError::Port => "there is no port 0".into(),
    })
}

/// An address to connect to.
pub(crate) fn of_a_host(text: &str) -> Result<Address, String> {
    let address = parse(text)?;
    if address.names_a_host() {
        Ok(address)
    } else {
        Err("this is not the address of one host".into())
    }
}

/// An address of this machine; 0.0.0.0 and [::] are all.
pub(crate) fn to_listen(text: &str) -> Result<Address, String> {
    let address = parse(text)?;
    if address.ip().is_unspecified() {
        return Ok(address);
    }
    of_a_host(text)
}

/// A host, of which the port does not matter.
pub(crate) fn host(text: &str) -> Result<IpAddr, String> {
    let ip: IpAddr = text
        .parse()
        .map_err(|_| "expected an IP address without a port, as 192.0.2.1 or 2001:db8::1")?;
    of_a_host(&Address::new(ip, DEFAULT_PORT).to_string()).map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_ours_unless_another_is_named() {
        assert_eq!(of_a_host("192.0.2.1").unwrap().port(), 7411);
        assert_eq!(of_a_host("192.0.2.1:9").unwrap().port(), 9);
        let address = of_a_host("2001:db8::1").unwrap();
        assert_eq!(address.to_string(), "[2001:db8::1]:7411");
    }

    #[test]
    fn what_is_no_host_is_said_to_be_none() {
        assert!(of_a_host("machine2").unwrap_err().contains("names"));
        assert!(of_a_host("192.0.2.1:0").unwrap_err().contains("port 0"));
        for text in ["0.0.0.0", "[::]:7411", "224.0.0.1", "255.255.255.255"] {
            assert!(of_a_host(text).is_err(), "{text}");
        }
        assert_eq!(to_listen("0.0.0.0").unwrap(), Address::any(DEFAULT_PORT));
        assert!(to_listen("[::]:9").is_ok());
        assert!(to_listen("224.0.0.1").is_err());
    }

    #[test]
    fn a_host_has_no_port() {
        assert_eq!(host("192.0.2.1").unwrap().to_string(), "192.0.2.1");
        assert_eq!(host("2001:db8::1").unwrap().to_string(), "2001:db8::1");
        // As the peer of an IPv6 socket may be called.
        assert_eq!(host("::ffff:192.0.2.1").unwrap().to_string(), "192.0.2.1");
        for text in ["192.0.2.1:7411", "0.0.0.0", "ff02::1", "machine2", ""] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
