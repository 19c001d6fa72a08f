// SPDX-License-Identifier: GPL-2.0
//! The ring between two threads: round trip and throughput, printed as a table.
//!
//! `cargo bench --bench ring`. For orientation; nothing is asserted about time. Beside the rings of other crates:
//! `cargo bench-rings` (rust/bench, a workspace of its own).

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    bench::main();
}

#[cfg(not(loom))]
mod bench {
    use popcorn_core::circle::Circular;
    use popcorn_core::circle::Masked;
    use popcorn_core::ring;
    use popcorn_core::ring::Consumer;
    use popcorn_core::ring::Memory;
    use popcorn_core::ring::Producer;
    use popcorn_core::ring::PushError;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;
    use std::sync::Arc;
    use std::time::Instant;

    /// Words shared by two threads; bytes are copied a word at a time.
    #[derive(Clone)]
    struct Shared(Arc<Vec<AtomicU64>>);

    impl Shared {
        fn new(size: usize) -> Self {
            Self(Arc::new((0..size / 8).map(|_| AtomicU64::new(0)).collect()))
        }
    }

    impl Memory for Shared {
        fn size(&self) -> usize {
            self.0.len() * 8
        }

        fn load(&self, offset: usize) -> u64 {
            self.0[offset / 8].load(Ordering::Acquire)
        }

        fn store(&self, offset: usize, value: u64) {
            self.0[offset / 8].store(value, Ordering::Release);
        }

        fn read(&self, offset: usize, out: &mut [u8]) {
            for (n, to) in out.chunks_mut(8).enumerate() {
                let word = self.0[offset / 8 + n].load(Ordering::Relaxed).to_le_bytes();
                to.copy_from_slice(&word[..to.len()]);
            }
        }

        fn write(&self, offset: usize, bytes: &[u8]) {
            for (n, from) in bytes.chunks(8).enumerate() {
                let mut word = [0; 8];
                word[..from.len()].copy_from_slice(from);
                self.0[offset / 8 + n].store(u64::from_le_bytes(word), Ordering::Relaxed);
            }
        }
    }

    impl Circular for Shared {
        type Circle = Masked<Self>;

        fn circle(&self, offset: usize, capacity: usize) -> Option<Masked<Self>> {
            Masked::new(self.clone(), offset, capacity)
        }
    }

    const CAPACITY: usize = 1 << 18;

    fn ring() -> (Producer<Shared>, Consumer<Shared>) {
        let memory = Shared::new(ring::length(CAPACITY));
        (
            Producer::new(&memory, 0, CAPACITY).expect("geometry"),
            Consumer::new(&memory, 0, CAPACITY).expect("geometry"),
        )
    }

    fn send(producer: &mut Producer<Shared>, bytes: &[u8]) {
        while producer.push(&[bytes]) == Err(PushError::Full) {
            producer.publish();
            std::hint::spin_loop();
        }
    }

    fn receive(consumer: &mut Consumer<Shared>, buffer: &mut [u8]) {
        let mut idle = 0u32;
        loop {
            if let Some(length) = consumer.front().expect("an honest producer") {
                assert!(consumer.read(0, &mut buffer[..length]));
                consumer.pop();
                return;
            }
            consumer.release();
            idle += 1;
            if idle % 1000 == 0 {
                // On a machine with one free processor the other thread needs it.
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }

    fn round_trip(bytes: usize, rounds: u32) -> f64 {
        let (mut out, mut far_in) = ring();
        let (mut far_out, mut back) = ring();
        let echo = std::thread::spawn(move || {
            let mut buffer = vec![0; bytes];
            for _ in 0..rounds {
                receive(&mut far_in, &mut buffer);
                far_in.release();
                send(&mut far_out, &buffer);
                far_out.publish();
            }
        });
        let mut buffer = vec![1; bytes];
        let begin = Instant::now();
        for _ in 0..rounds {
            send(&mut out, &buffer);
            out.publish();
            receive(&mut back, &mut buffer);
            back.release();
        }
        let each = begin.elapsed().as_nanos() as f64 / f64::from(rounds);
        echo.join().expect("no panic");
        each
    }

    fn throughput(bytes: usize, count: u32) -> f64 {
        let (mut out, mut far_in) = ring();
        let sink = std::thread::spawn(move || {
            let mut buffer = vec![0; bytes];
            for n in 0..count {
                receive(&mut far_in, &mut buffer);
                if n % 32 == 0 {
                    far_in.release();
                }
            }
        });
        let buffer = vec![1; bytes];
        let begin = Instant::now();
        for n in 0..count {
            send(&mut out, &buffer);
            if n % 32 == 0 {
                out.publish();
            }
        }
        out.publish();
        sink.join().expect("no panic");
        f64::from(count) / begin.elapsed().as_secs_f64() / 1e6
    }

    pub(super) fn main() {
        println!(
            "{:>8} {:>16} {:>20}",
            "bytes", "round trip, ns", "million records/s"
        );
        for (bytes, rounds) in [(64, 200_000), (4096, 50_000)] {
            println!(
                "{bytes:>8} {:>16.0} {:>20.2}",
                round_trip(bytes, rounds),
                throughput(bytes, rounds * 5)
            );
        }
        println!("beside the rings of other crates: cargo bench-rings");
    }
}
