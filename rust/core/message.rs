// SPDX-License-Identifier: GPL-2.0
//! What is declared of a message, once, and holds for who sends it and for who receives it.
//!
//! [`wire_message!`](crate::wire_message) declares type, fixed part, class, what may follow the fixed part, and
//! whether it is urgent. The compiler lets nobody post a request or call with a one-way message ([`OneWay`],
//! [`Request`]); lengths are looked at when a message is sent, and before its service sees it
//! ([`Declared::check`]). A service is registered with the list of its [`Messages`].

use crate::ids::Class;
use crate::wire::Wire;
use crate::wire::PAYLOAD_MAX;

/// When a message is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// By a worker, which may sleep; it may overtake others.
    Queued,
    /// Where it is received, at once, in the order in which messages came, if that can be; else as the others.
    Urgent,
}

/// Why a message is not what was declared of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is a request and should be one-way, or the other way round.
    Class,
    /// Its payload is too short.
    Short,
    /// Its payload is too long.
    Long,
}

impl Unfit {
    /// For the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unfit::Class => "a message is not of the class that is declared",
            Unfit::Short => "a message is shorter than declared",
            Unfit::Long => "a message is longer than declared",
        }
    }
}

/// What is declared of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name, for people.
    pub name: &'static str,
    /// The type in the header; of a response, which has the type of its request there, one that never travels.
    pub kind: u16,
    /// Who says it.
    pub class: Class,
    /// When it is handled.
    pub urgency: Urgency,
    fixed: usize,
    tail_min: usize,
    tail_max: usize,
}

impl Declared {
    const fn new(name: &'static str, kind: u16, class: Class, fixed: usize) -> Self {
        assert!(fixed <= PAYLOAD_MAX, "the message does not fit");
        Self {
            name,
            kind,
            class,
            urgency: Urgency::Queued,
            fixed,
            tail_min: 0,
            tail_max: 0,
        }
    }

    /// A message that nobody answers, of `fixed` bytes and nothing behind them, queued. `fixed` is at most
    /// [`PAYLOAD_MAX`]: to be used in constants only, as all that makes one of these.
    pub const fn one_way(name: &'static str, kind: u16, fixed: usize) -> Self {
        Self::new(name, kind, Class::OneWay, fixed)
    }

    /// As [`Declared::one_way`], but answered.
    pub const fn request(name: &'static str, kind: u16, fixed: usize) -> Self {
        Self::new(name, kind, Class::Request, fixed)
    }

    /// As [`Declared::one_way`], but the answer to a request.
    pub const fn response(name: &'static str, kind: u16, fixed: usize) -> Self {
        Self::new(name, kind, Class::Response, fixed)
    }

    /// It is urgent, and no response.
    pub const fn urgent(self) -> Self {
        assert!(
            !matches!(self.class, Class::Response),
            "somebody waits for it anyway"
        );
        Self {
            urgency: Urgency::Urgent,
            ..self
        }
    }

    /// So many bytes follow the fixed part, and both fit into a payload.
    pub const fn tail(self, min: usize, max: usize) -> Self {
        assert!(min <= max && max <= PAYLOAD_MAX, "no such tail can be");
        assert!(self.fixed + max <= PAYLOAD_MAX, "the message does not fit");
        Self {
            tail_min: min,
            tail_max: max,
            ..self
        }
    }

    /// Whether it may go to [`Urgency::Urgent`] handlers.
    pub const fn is_urgent(&self) -> bool {
        matches!(self.urgency, Urgency::Urgent)
    }

    /// Bytes that its payload has at least.
    pub const fn shortest(&self) -> usize {
        self.fixed + self.tail_min
    }

    /// Bytes that its payload has at most.
    pub const fn longest(&self) -> usize {
        self.fixed + self.tail_max
    }

    /// Whether a payload may have `length` bytes.
    ///
    /// # Errors
    ///
    /// [`Unfit::Short`], [`Unfit::Long`].
    pub const fn check_length(&self, length: usize) -> Result<(), Unfit> {
        if length < self.shortest() {
            return Err(Unfit::Short);
        }
        if length > self.longest() {
            return Err(Unfit::Long);
        }
        Ok(())
    }

    /// Whether a message of this type, class and length is one that its service is to see.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, class: Class, length: usize) -> Result<(), Unfit> {
        if class != self.class {
            return Err(Unfit::Class);
        }
        self.check_length(length)
    }
}

/// A message of which all is declared.
pub trait Message: Wire {
    /// What is.
    const DECLARED: Declared;
}

/// A message that nobody answers.
///
/// ```
/// use popcorn_core::message::OneWay;
/// use popcorn_core::proto;
/// fn post<Q: OneWay>(_: &Q) {}
/// post(&proto::Stay { number: 1 });
/// ```
///
/// ```compile_fail,E0277
/// use popcorn_core::message::OneWay;
/// use popcorn_core::proto;
/// fn post<Q: OneWay>(_: &Q) {}
/// // Whoever asks has to wait for the answer.
/// post(&proto::Invalidate { space: 1, address: 0 });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as one-way",
    label = "this is not a one-way message"
)]
pub trait OneWay: Message {}

/// A message that is answered.
///
/// ```
/// use popcorn_core::message::Request;
/// use popcorn_core::proto;
/// fn call<Q: Request>(_: &Q, _answer: Option<Q::Answer>) {}
/// call(&proto::BenchEnd { run: 1 }, None::<proto::BenchCounted>);
/// ```
///
/// ```compile_fail,E0277
/// use popcorn_core::message::Request;
/// use popcorn_core::proto;
/// fn call<Q: Request>(_: &Q) {}
/// // Nobody would answer.
/// call(&proto::Stay { number: 1 });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as a request",
    label = "nobody answers this message"
)]
pub trait Request: Message {
    /// The payload of an answer that is no error.
    type Answer: Response;
}

/// The payload of an answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as a response",
    label = "this is not an answer"
)]
pub trait Response: Message {}

crate::wire_message! {
    /// The answer to a request that asks for nothing but that something is done.
    pub struct Empty = 0x0000, response {}
}

/// The messages that a service handles: at least one; types ascend; none is a response.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    list: &'static [Declared],
    // At hand: who looks for the service of a type asks several.
    first: u16,
    last: u16,
}

impl Messages {
    /// For constants: see [`messages!`](crate::messages), which lets the compiler look at the list.
    pub const fn new(list: &'static [Declared]) -> Self {
        assert!(!list.is_empty(), "a service has messages");
        let mut index = 0;
        while index < list.len() {
            assert!(
                !matches!(list[index].class, Class::Response),
                "a response goes to who waits for it"
            );
            assert!(
                index == 0 || list[index - 1].kind < list[index].kind,
                "the types of a service do not ascend"
            );
            index += 1;
        }
        Self {
            list,
            first: list[0].kind,
            last: list[list.len() - 1].kind,
        }
    }

    /// The same, if all types are in a range: else this constant cannot be.
    pub const fn within(self, types: core::ops::RangeInclusive<u16>) -> Self {
        assert!(
            *types.start() <= self.first && self.last <= *types.end(),
            "a type is of another service"
        );
        self
    }

    /// The lowest type.
    pub const fn first(&self) -> u16 {
        self.first
    }

    /// The highest type.
    pub const fn last(&self) -> u16 {
        self.last
    }

    /// Whether a type lies between the first and the last, declared or not.
    pub const fn spans(&self, kind: u16) -> bool {
        self.first <= kind && kind <= self.last
    }

    /// Whether there is a type that both span.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What is declared of a type.
    pub fn get(&self, kind: u16) -> Option<&'static Declared> {
        let at = usize::from(kind.checked_sub(self.first)?);
        // There is rarely a number left out.
        if let Some(declared) = self.list.get(at).filter(|declared| declared.kind == kind) {
            return Some(declared);
        }
        let found = self
            .list
            .binary_search_by_key(&kind, |declared| declared.kind);
        self.list.get(found.ok()?)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'static Declared> {
        self.list.iter()
    }
}

/// The [`Messages`] of a service, types ascending.
///
/// ```
/// use popcorn_core::messages;
/// use popcorn_core::proto::Fetch;
/// use popcorn_core::proto::Invalidate;
/// assert_eq!(messages![Fetch, Invalidate].first(), 0x0302);
/// ```
///
/// What nobody registers for, a response, does not compile; nor does a type that is there twice.
///
/// ```compile_fail,E0080
/// let list = popcorn_core::messages![popcorn_core::proto::Grant];
/// ```
///
/// ```compile_fail,E0080
/// use popcorn_core::proto::Fetch;
/// let list = popcorn_core::messages![Fetch, Fetch];
/// ```
#[macro_export]
macro_rules! messages {
    ($($message:path),+ $(,)?) => {{
        const LIST: &[$crate::message::Declared] =
            &[$( <$message as $crate::message::Message>::DECLARED ),+];
        const MESSAGES: $crate::message::Messages = $crate::message::Messages::new(LIST);
        MESSAGES
    }};
}

/// The part of [`wire_message!`](crate::wire_message) about the class; behind the semicolon, functions of
/// [`Declared`] to call.
#[doc(hidden)]
#[macro_export]
macro_rules! declared_message {
    ($name:ident one_way; $($more:tt)*) => {
        $crate::declared_message!(@ $name one_way $($more)*);
        impl $crate::message::OneWay for $name {}
    };
    ($name:ident response; $($more:tt)*) => {
        $crate::declared_message!(@ $name response $($more)*);
        impl $crate::message::Response for $name {}
    };
    ($name:ident request; $($more:tt)*) => {
        $crate::declared_message!(@ $name request $($more)*);
        impl $crate::message::Request for $name {
            type Answer = $crate::message::Empty;
        }
    };
    ($name:ident request -> $answer:ident; $($more:tt)*) => {
        $crate::declared_message!(@ $name request $($more)*);
        impl $crate::message::Request for $name {
            type Answer = $answer;
        }
    };
    (@ $name:ident $class:ident $($more:tt)*) => {
        impl $crate::message::Message for $name {
            const DECLARED: $crate::message::Declared = $crate::message::Declared::$class(
                stringify!($name),
                <$name as $crate::wire::Wire>::TYPE,
                <$name as $crate::wire::Wire>::SIZE,
            ) $($more)*;
        }

        // Whether it can be, is known here, and not when somebody uses it.
        const _: $crate::message::Declared = <$name as $crate::message::Message>::DECLARED;
    };
}
