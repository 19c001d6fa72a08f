// SPDX-License-Identifier: GPL-2.0
//! Where a kernel of another machine is reached: an IP address and a TCP port.
//!
//! As text `192.0.2.1:7411` or `[2001:db8::1]:7411`; the port may be left out. As bytes, 20 of them:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | 4 or 6 |
//! | 1 | zero |
//! | 2..4 | port, not 0 |
//! | 4..20 | the address as in a packet; an IPv4 address has 4 bytes, zeros follow |
//!
//! There are no zones (`%eth0`): they mean something on one machine only, so an address of one link
//! (`fe80::`) cannot be used.

use crate::wire::Field;
use crate::wire::WireError;
use core::fmt;
use core::net::IpAddr;
use core::net::Ipv4Addr;
use core::net::Ipv6Addr;
use core::net::SocketAddr;

/// The port of an [`Address`] whose text names none.
pub const DEFAULT_PORT: u16 = 7411;
/// Bytes of an [`Address`] as it travels.
pub const WIRE_SIZE: usize = 20;

/// An IP address and a TCP port. An IPv4 address that is mapped into IPv6 (`::ffff:192.0.2.1`, as the
/// peer of an IPv6 socket may be called) is the IPv4 address: so equal means equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ip: IpAddr,
    port: u16,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// It is not written as an address. Names are none: nobody looks them up here.
    Syntax,
    /// The port is 0, which names none.
    Port,
}

impl Address {
    /// From its parts; port 0 lets the kernel choose where to listen, and is good for nothing else.
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        let ip = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => ip,
            },
        };
        Self { ip, port }
    }

    /// All IPv4 addresses of this machine, to listen at.
    pub const fn any(port: u16) -> Self {
        Self::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
    }

    /// This machine, from itself, by IPv4.
    pub const fn loopback(port: u16) -> Self {
        Self::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
    }

    /// Reads `192.0.2.1:7777`, `[::1]:7777`, or either without the port, which is then
    /// [`DEFAULT_PORT`]; IPv6 without a port also without brackets. White space around it is skipped.
    ///
    /// # Errors
    ///
    /// See [`AddressError`].
    pub fn parse(text: &[u8]) -> Result<Self, AddressError> {
        let text = core::str::from_utf8(text).map_err(|_| AddressError::Syntax)?;
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let (ip, port) = if let Some(inner) = inner {
            let ip: Ipv6Addr = inner.parse().map_err(|_| AddressError::Syntax)?;
            (IpAddr::V6(ip), DEFAULT_PORT)
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            (ip, DEFAULT_PORT)
        } else {
            match text.parse::<SocketAddr>() {
                // A zone, also the one that is written and means none: its text has a '%'.
                Ok(SocketAddr::V6(_)) if text.contains('%') => return Err(AddressError::Syntax),
                Ok(address) => (address.ip(), address.port()),
                Err(_) => return Err(AddressError::Syntax),
            }
        };
        match port {
            0 => Err(AddressError::Port),
            _ => Ok(Self::new(ip, port)),
        }
    }

    /// The address without the port.
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it names one host that can be connected to: not "any", nor many, and with a port.
    pub fn names_a_host(&self) -> bool {
        let many = match self.ip {
            IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast(),
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        self.port != 0 && !many && !self.ip.is_unspecified()
    }

    /// The bytes of the IP address as in a packet, zeros behind those of an IPv4 address; and whether
    /// it is an IPv6 address.
    pub fn octets(&self) -> ([u8; 16], bool) {
        match self.ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false)
            }
            IpAddr::V6(ip) => (ip.octets(), true),
        }
    }

    /// From what [`Address::octets`] gives; of an IPv4 address the first four bytes count.
    pub fn from_octets(octets: [u8; 16], is_ipv6: bool, port: u16) -> Self {
        let ip = if is_ipv6 {
            IpAddr::V6(Ipv6Addr::from(octets))
        } else {
            let [a, b, c, d, ..] = octets;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        };
        Self::new(ip, port)
    }

    /// As it travels.
    pub fn encode(&self) -> [u8; WIRE_SIZE] {
        let (octets, is_ipv6) = self.octets();
        let mut out = [0; WIRE_SIZE];
        out[0] = if is_ipv6 { 6 } else { 4 };
        self.port.to_field(&mut out[2..4]);
        out[4..20].copy_from_slice(&octets);
        out
    }

    /// From bytes that a peer wrote: [`Address::encode`]'s of an address that
    /// [names a host](Address::names_a_host).
    ///
    /// # Errors
    ///
    /// [`WireError::Length`] unless there are exactly [`WIRE_SIZE`] bytes; [`WireError::Field`] for all
    /// else. Each address has one form, so what comes back is encoded to the same bytes again.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let bytes: &[u8; WIRE_SIZE] = bytes.try_into().map_err(|_| WireError::Length)?;
        let is_ipv6 = match bytes[0] {
            4 => false,
            6 => true,
            _ => return Err(WireError::Field("address family")),
        };
        let octets = <[u8; 16]>::from_field(&bytes[4..20]);
        let address = Self::from_octets(octets, is_ipv6, u16::from_field(&bytes[2..4]));
        if !address.names_a_host() {
            return Err(WireError::Field("address"));
        }
        // What is behind an IPv4 address, what is reserved, an IPv4 address in the form of IPv6.
        if address.encode() != *bytes {
            return Err(WireError::Field("address form"));
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::new(self.ip, self.port), f)
    }
}
